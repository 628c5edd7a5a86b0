//! What stands behind a component where it really runs.

/// What does a component's work in the real world. A simulator has its model, whatever this says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The reference stack's own.
    #[default]
    Embedded,
    /// A server that runs already, by its URL: `mysql://`, `mariadb://` or `amqp://`.
    Url(String),
}
