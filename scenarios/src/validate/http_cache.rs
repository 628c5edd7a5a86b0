//! HTTP caches, what of a request class they keep, and purges.

use super::Validator;
use crate::quantity::selector::{self, Piece};
use crate::scenario::{
    Action, BackEndProbe, CacheRule, CacheThreads, ClassId, Component, ComponentId, ComponentKind, Esi,
    HttpCache, Keyspace, KeyspaceId, Language, Method, PathPart, Purge, RequestClass, Tag, Vary,
};
use crate::units::{Bytes, SimTime};
use crate::wire;
use crate::wire::decode::join;

/// Says that each instance asks the one on its own machine.
const SAME_HOST: &str = "@same-host";
/// The most languages of one site.
const LANGUAGES_LIMIT: usize = 64;
/// Varnish refuses less storage.
const LEAST_MEMORY: u64 = 1 << 20;

impl Validator<'_> {
    pub(super) fn http_cache(
        &mut self,
        at: &str,
        file: &wire::HttpCache,
        host: Option<&String>,
        components: &[(String, wire::Component)],
    ) -> HttpCache {
        let to_at = format!("{at}.to");
        let written = file.to.as_deref().unwrap_or_default();
        let (name, same_host) = match written.strip_suffix(SAME_HOST) {
            Some(name) => (name, true),
            None => (written, false),
        };
        let to = file.to.as_ref().and_then(|_| {
            self.resolve_in(|v| &v.components, &to_at, name, |near| written.replacen(name, near, 1))
        });
        if let Some(to) = to {
            let back_end = &components[usize::from(to)].1;
            self.takes_requests(&to_at, back_end);
            if same_host && back_end.common.host.as_ref() != host {
                let expected = format!("a component on the same host, or no {SAME_HOST}");
                self.problem(&to_at, expected, None);
            }
            let scaled =
                matches!(&back_end.kind, Some(wire::ComponentKind::Service(s)) if s.autoscale.is_some());
            if same_host && scaled {
                let hint = format!("write to = \"{name}\": the caches stay where instances go");
                self.problem(&to_at, format!("a component without autoscale, or no {SAME_HOST}"), hint);
            }
        }
        let memory = file.memory.unwrap_or(Bytes::new(LEAST_MEMORY));
        if memory.get() < LEAST_MEMORY {
            self.problem(&format!("{at}.memory"), "at least 1MiB", None);
        }
        if file.hit_for_pass.is_some() && self.written(&format!("{at}.hit_for_miss")) {
            let hint = "an answer that cannot be cached leaves one mark".to_owned();
            self.problem(&format!("{at}.hit_for_pass"), "hit_for_pass or hit_for_miss, not both", hint);
        }
        HttpCache {
            hit_for_pass: file.hit_for_pass.map(|t| self.positive(&format!("{at}.hit_for_pass"), t)),
            probe: file.probe.as_ref().map(|probe| self.probe(&format!("{at}.probe"), probe)),
            threads: file.threads.as_ref().map(|threads| self.threads(&format!("{at}.threads"), threads)),
            to: ComponentId(to.unwrap_or(0)),
            same_host,
            memory,
            grace: file.grace,
            keep: file.keep,
            coalesce: file.coalesce,
            hit_for_miss: file.hit_for_miss,
            headers: file.headers,
            normalise: file.normalise,
            connect_timeout: self.positive(&format!("{at}.connect_timeout"), file.connect_timeout),
            first_byte_timeout: self.positive(&format!("{at}.first_byte_timeout"), file.first_byte_timeout),
            prefill: self.prefill(&format!("{at}.prefill"), file),
            accept_proxy: file.accept_proxy.0.iter().map(|(_, network)| *network).collect(),
        }
    }

    fn prefill(&mut self, at: &str, file: &wire::HttpCache) -> Vec<(ClassId, u64)> {
        let mut classes = Vec::new();
        for (name, keys) in &file.prefill.0 {
            let class = self.resolve_key(|v| &v.classes, &format!("{at}.{name}"), name);
            classes.extend(class.map(|class| (ClassId(class), keys.0)));
        }
        classes
    }

    /// Whether caches can have at the start what they are said to, once all classes are known.
    pub(super) fn prefills(
        &mut self,
        components: &[Component],
        classes: &[RequestClass],
        keyspaces: &[Keyspace],
    ) {
        for component in components {
            let ComponentKind::HttpCache(cache) = &component.kind else { continue };
            for &(class, objects) in &cache.prefill {
                let Some(class) = classes.get(class.index()) else { continue };
                let at = format!("components.{}.prefill.{}", component.name, class.name);
                if class.cache.is_none() {
                    let hint = format!("give requests.{} a cache rule", class.name);
                    self.problem(&at, "a class that caches keep", hint);
                    continue;
                }
                match keys_of(class, keyspaces) {
                    Some(keys) if objects > keys => {
                        self.problem(&at, format!("at most its path's keys, which are {keys}"), None);
                    }
                    Some(_) => {}
                    None => self.problem(&at, "a class whose path has keys of one keyspace at most", None),
                }
            }
        }
    }

    fn probe(&mut self, at: &str, file: &wire::BackEndProbe) -> BackEndProbe {
        if let Some(path) = &file.http {
            self.path_without_keys(&format!("{at}.http"), path);
        }
        let (window, threshold) = (file.window.0 as u32, file.threshold.0 as u32);
        if threshold > window {
            self.problem(&format!("{at}.threshold"), format!("at most the window, which is {window}"), None);
        }
        let initial = file.initial.map_or(threshold - 1, |initial| initial.0 as u32);
        if initial > threshold {
            let expected = format!("at most threshold, which is {threshold}");
            self.problem(&format!("{at}.initial"), expected, None);
        }
        BackEndProbe {
            http: file.http.clone().unwrap_or_default(),
            interval: self.positive(&format!("{at}.interval"), file.interval),
            timeout: self.positive(&format!("{at}.timeout"), file.timeout),
            window,
            threshold,
            initial,
        }
    }

    fn threads(&mut self, at: &str, file: &wire::CacheThreads) -> CacheThreads {
        let (min, max) = (file.min.0 as u32, file.max.0 as u32);
        let min_at = format!("{at}.min");
        if min > max && self.written(&min_at) {
            self.problem(&min_at, format!("at most max, which is {max}"), None);
        }
        CacheThreads { pools: file.pools.0 as u32, min: min.min(max), max, queue: file.queue.0 as u32 }
    }

    /// What caches keep of a class.
    pub(super) fn cache_rule(
        &mut self,
        at: &str,
        file: &wire::RequestClass,
        path: &[PathPart],
    ) -> Option<CacheRule> {
        let rule = file.cache.as_ref()?;
        let (class_at, at) = (at, format!("{at}.cache"));
        if file.method != Method::Get {
            self.problem(&at, "a cache rule with GET only", None);
        }
        if path.iter().any(|part| matches!(part, PathPart::Kept(_))) {
            self.problem(&at, "no cache rule with a path that says what a user keeps", None);
        }
        let ttl = rule.ttl.map_or(SimTime::from_secs(1), |ttl| self.positive(&format!("{at}.ttl"), ttl));
        let tags = self.tags(&format!("{at}.tags"), &rule.tags);
        for ((i, text), tag) in rule.tags.0.iter().zip(&tags) {
            let foreign = tag.parts.iter().any(|p| matches!(p, PathPart::Key(_)) && !path.contains(p));
            if foreign {
                let expected = "a tag with keys of the path only";
                let hint = format!("an object has the keys of its path, \"{text}\" needs others");
                self.problem(&format!("{at}.tags[{i}]"), expected, hint);
            }
        }
        let mut vary: Vec<Vary> = Vec::new();
        for (name, file) in &rule.vary.0 {
            let place = join(&format!("{at}.vary"), name);
            let by_language = vary.iter().any(|other| !other.languages.is_empty());
            if file.languages.is_some() && by_language {
                let expected = "one accept_language, as a request has one such field".to_owned();
                self.problem(&format!("{place}.accept_language"), expected, None);
            }
            vary.extend(self.vary(&place, name, file));
        }
        if vary.iter().any(|v| !v.languages.is_empty())
            && file.headers.0.iter().any(|(name, _)| name == "accept-language")
        {
            let expected = "no such field where the cache rule has accept_language, which says it";
            self.problem(&format!("{class_at}.headers.accept-language"), expected, None);
        }
        Some(CacheRule { ttl, grace: rule.grace, keep: rule.keep, tags, vary })
    }

    fn vary(&mut self, at: &str, name: &str, file: &wire::Vary) -> Option<Vary> {
        let languages = file.languages.as_ref().map(|list| self.languages(at, list)).unwrap_or_default();
        let values = match &file.languages {
            Some(_) => languages.len() as u32,
            None => file.values?.0 as u32,
        };
        let raw = file.raw?.0 as u32;
        if values > raw {
            let expected = format!("at least the {values} values that are left of them");
            self.problem(&format!("{at}.raw"), expected, None);
        }
        (values > 0).then(|| Vary { name: name.to_owned(), values, raw, languages })
    }

    fn languages(&mut self, at: &str, list: &wire::decode::List<Language>) -> Vec<Language> {
        let at = format!("{at}.accept_language");
        if !self.written(&format!("{at}[1]")) {
            self.problem(&at, "at least one language", None);
        }
        if list.0.len() > LANGUAGES_LIMIT {
            self.problem(&at, format!("at most {LANGUAGES_LIMIT} languages"), None);
        }
        let mut languages: Vec<Language> = Vec::new();
        for (i, language) in &list.0 {
            if languages.contains(language) {
                self.problem(&format!("{at}[{i}]"), "each language once, in upper or lower case", None);
            }
            languages.push(language.clone());
        }
        languages
    }

    /// What each class's answers include, once all classes are known.
    pub(super) fn includes(&mut self, files: &[(String, wire::RequestClass)], classes: &mut [RequestClass]) {
        for (i, (name, file)) in files.iter().enumerate() {
            let Some(esi) = &file.esi else { continue };
            let at = format!("requests.{name}.esi");
            if file.cache.is_none() {
                let hint = "give the class a cache rule, with a short TTL".to_owned();
                self.problem(&at, "parts in a class that caches keep", hint);
            }
            let include_at = format!("{at}.include");
            let Some(part) = esi.include.as_ref().and_then(|p| self.resolve(|v| &v.classes, &include_at, p))
            else {
                continue;
            };
            if files[usize::from(part)].1.esi.is_some() {
                self.problem(&include_at, "a class that includes nothing itself", None);
            }
            classes[i].esi = Some(Esi { include: ClassId(part), count: esi.count.0 as u32 });
        }
    }

    /// The action of a purge.
    pub(super) fn purge(&mut self, at: &str, file: &wire::Purge, components: &[Component]) -> Option<Action> {
        let cache_at = format!("{at}.in");
        let cache = file.cache.as_ref().and_then(|name| self.resolve(|v| &v.components, &cache_at, name));
        if let Some(cache) = cache {
            let fits = |k: &ComponentKind| matches!(k, ComponentKind::HttpCache(_));
            self.expect_kind(&cache_at, cache, components, "an http-cache", fits);
        }
        let tags = file.tags.as_ref().map(|tags| self.tags(&format!("{at}.tags"), tags))?;
        Some(Action::Purge(Purge { cache: ComponentId(cache?), tags, soft: file.soft, delay: file.delay }))
    }

    fn tags(&mut self, at: &str, texts: &wire::decode::List<String>) -> Vec<Tag> {
        let tag = |(i, text): &(usize, String)| {
            let at = format!("{at}[{i}]");
            let pieces = self.d.read(text, &at, selector::tag).unwrap_or_default();
            let mut parts = Vec::new();
            for piece in pieces {
                parts.push(match piece {
                    Piece::Text(text) => PathPart::Text(text),
                    Piece::Key(name) => {
                        let near = |near: &str| text.replace(&format!("{{{name}}}"), &format!("{{{near}}}"));
                        let id = self.resolve_in(|v| &v.keyspaces, &at, &name, near);
                        PathPart::Key(KeyspaceId(id.unwrap_or(0)))
                    }
                });
            }
            Tag { parts }
        };
        texts.0.iter().map(tag).collect()
    }
}

/// How many paths a class has, one without keys a single one; none where it has more than one keyspace's, or what users keep.
fn keys_of(class: &RequestClass, keyspaces: &[Keyspace]) -> Option<u64> {
    let mut found: Option<KeyspaceId> = None;
    for part in &class.path.parts {
        match part {
            PathPart::Text(_) => {}
            PathPart::Key(keyspace) if found.is_none_or(|other| other == *keyspace) => {
                found = Some(*keyspace)
            }
            PathPart::Key(_) | PathPart::Kept(_) => return None,
        }
    }
    Some(found.map_or(1, |id| keyspaces.get(id.index()).map_or(u64::MAX, |keyspace| keyspace.keys)))
}
