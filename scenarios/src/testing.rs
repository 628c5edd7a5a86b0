//! What the tests of several modules read.

/// A service, ten requests a second, and a variant with twice as many. Tables can follow.
pub(crate) const SHOP: &str = r#"
title = "Shop"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.home]
path = "/"
[[requests.home.steps]]
work = "1ms"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { home = 1 }
[variants.busy]
what = "twice the load"
set."traffic.users.rate" = "20/s"
"#;
