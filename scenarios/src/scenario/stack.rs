//! What of a scenario decides which fixed costs its stack has, as a hash.

use sha2::{Digest, Sha256};

use super::{Component, ComponentKind, Cpu, Engine, Scenario};

impl Scenario {
    /// SHA-256, in lower-case hexadecimal, of what decides the stack's fixed costs: the components with their kinds, engines,
    /// neighbours and ways of talking, and what their machines do for processor time. Sizes, counts, laws and whatever breaks are
    /// left out: a larger cache, or another node, has the same fixed costs.
    pub fn stack(&self) -> String {
        let mut text = String::new();
        for component in &self.components {
            text += &self.line(component);
        }
        crate::validate::hexadecimal(&Sha256::digest(text))
    }

    /// A component in a line. Defaults read as if they were written, so that writing them changes nothing.
    fn line(&self, component: &Component) -> String {
        let host = self.host(component.host);
        let cpu = match host.cpu {
            Cpu::Emulated => "emulated",
            Cpu::Burn => "burn",
        };
        let engine = match &component.engine {
            Engine::Embedded => "embedded",
            Engine::Url(url) => url.split(':').next().unwrap_or_default(),
            Engine::Server(server) => server.name(),
        };
        let to = component.kind.forwards_to().map_or("", |to| &self.component(to).name);
        let more = match &component.kind {
            ComponentKind::LoadBalancer(b) => {
                format!(
                    "tls={} http2={} proxy={},{} cookie={}",
                    b.tls.is_some(),
                    b.http2,
                    b.send_proxy.is_some(),
                    !b.accept_proxy.is_empty(),
                    b.cookie.is_some()
                )
            }
            ComponentKind::KvStore(store) => {
                format!("shards={} copies={}", store.shards.is_some(), store.replicas > 0)
            }
            ComponentKind::Queue(queue) => format!("durable={}", queue.durable),
            _ => String::new(),
        };
        let (name, kind) = (&component.name, component.kind.name());
        format!("{name} {kind} on {} cpu={cpu} engine={engine} to={to} {more}\n", host.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Scenario {
        Scenario::parse("quickstart.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn sizes_and_what_breaks_leave_the_stack_what_it_is_and_engines_and_ways_do_not() {
        let text = crate::library::QUICKSTART;
        let stack = parse(text).stack();
        for (from, to) in [
            ("max_memory = \"12MiB\"", "max_memory = \"24MiB\""),
            ("count = 2\ncores = 2", "count = 3\ncores = 4"),
            ("rate = \"300/s\"", "rate = \"100/s\""),
            ("kill = \"host:app[1]\"", "hang = \"component:shop[1]\""),
            ("kind = \"kv-store\"", "kind = \"kv-store\"\nengine = \"embedded\""),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            assert_eq!(parse(&other).stack(), stack, "{to}");
        }
        for (from, to) in [
            ("kind = \"kv-store\"", "kind = \"kv-store\"\nengine = \"redis\""),
            ("[hosts.data]", "[hosts.data]\ncpu = \"burn\""),
            ("backlog = 128", "backlog = 128\n[components.more]\nkind = \"kv-store\"\nhost = \"data\""),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(parse(&other).stack(), stack, "{to}");
        }
        let mut chosen = parse(text);
        chosen.choose_engines(&[("objects".to_owned(), "redis".to_owned())]).expect("a store can be a Redis");
        assert_ne!(chosen.stack(), stack, "chosen beside the file or in it is the same");
    }
}
