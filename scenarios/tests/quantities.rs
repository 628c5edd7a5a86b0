//! Quantities read back as they were written, and no text makes the reader panic.

use proptest::prelude::*;
use scenarios::Scenario;
use scenarios::law::{DurationLaw, Law, SizeLaw};
use scenarios::scenario::Popularity;
use scenarios::units::{Bytes, Price, Rate, Ratio, SimTime};

const LIMIT: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// Amounts of every magnitude.
fn nanos() -> impl Strategy<Value = u64> {
    (0_u32..62, any::<u64>()).prop_map(|(bits, n)| (n >> (63 - bits)) % LIMIT)
}

/// Positive numbers of every magnitude that a rate or a ratio may have.
fn positive() -> impl Strategy<Value = f64> {
    (-12.0..2.0, 1.0..10.0)
        .prop_map(|(exponent, mantissa): (f64, f64)| mantissa * 10_f64.powf(exponent) / 10.0)
}

proptest! {
    #[test]
    fn durations_read_back(n in nanos()) {
        let time = SimTime::from_nanos(n);
        prop_assert_eq!(time.to_string().parse::<SimTime>(), Ok(time));
    }

    #[test]
    fn bytes_read_back(n in 0_u64..=1 << 50, unit in prop::sample::select(vec![1, 1000, 1 << 10, 1_000_000, 1 << 20, 1 << 30])) {
        let bytes = Bytes::new(n / unit * unit);
        prop_assert_eq!(bytes.to_string().parse::<Bytes>(), Ok(bytes));
    }

    #[test]
    fn rates_and_ratios_read_back(x in positive()) {
        let rate = Rate::per_second(x * 1e5);
        prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        let ratio = Ratio::new(x);
        prop_assert_eq!(ratio.to_string().parse::<Ratio>(), Ok(ratio));
    }

    #[test]
    fn ratios_in_round_percent_stay_round(tenths in 0_u32..10_000) {
        let text = format!("{}%", f64::from(tenths) / 10.0);
        prop_assert_eq!(text.parse::<Ratio>().map(|r| r.to_string()), Ok(text));
    }

    #[test]
    fn prices_read_back(cents in 0_u32..1_000_000) {
        let price = Price { per_month: f64::from(cents) / 100.0, currency: "EUR".to_owned() };
        prop_assert_eq!(price.to_string().parse::<Price>(), Ok(price));
    }

    #[test]
    fn laws_read_back(a in 1_u64..80_000_000_000, b in 1_u64..1000) {
        let (low, high) = (a as f64, (a * b) as f64);
        for law in [Law::Constant(low), Law::Exponential { mean: low }, Law::Uniform { low, high }] {
            let law = DurationLaw::from_nanos(law);
            prop_assert_eq!(law.to_string().parse::<DurationLaw>(), Ok(law));
        }
        // The p99 is written to the byte, so the law's width comes back to about that.
        let law = SizeLaw::from_bytes(Law::lognormal_from_p99(low.min(1e12), high.min(1e13).max(low.min(1e12))));
        let back = law.to_string().parse::<SizeLaw>();
        let close = back.as_ref().is_ok_and(|back| (back.mean() - law.mean()).abs() <= 1e-6 * law.mean() + 1.0);
        prop_assert!(close, "{law}: {back:?}");
    }

    #[test]
    fn popularities_read_back(exponent in 0.01_f64..5.0) {
        let zipf = Popularity::Zipf { exponent };
        prop_assert_eq!(zipf.to_string().parse::<Popularity>(), Ok(zipf));
    }

    #[test]
    fn no_text_panics_a_quantity(text in "[0-9a-zµ%/_.,(){}:= \\[\\]<>-]{0,24}") {
        let _ = (text.parse::<SimTime>(), text.parse::<Rate>(), text.parse::<Bytes>(), text.parse::<Ratio>());
        let _ = (text.parse::<Price>(), text.parse::<DurationLaw>(), text.parse::<SizeLaw>(), text.parse::<Popularity>());
        let _ = scenarios::quantity::selector::Selector::read(&text);
        let _ = scenarios::quantity::selector::Target::read(&text);
        let _ = scenarios::quantity::selector::path(&text);
    }

    /// A good file with a piece cut out, doubled or replaced.
    #[test]
    fn no_mutation_panics_the_reader(
        at in 0_usize..4096,
        length in 0_usize..40,
        put in prop::sample::select(vec![
            "", "0", "-1", "\"", "[", "]", "{", "}", "=", "\n", "[[faults]]", "9e99", "99999999999999999999", "\"0s\"",
            "\"1000000000d\"", "\"zipf(5)\"", "\"1PiB\"", "inf", "nan", "1979-05-27", "''", "\"é\u{1F980}\"", ".", "#",
        ]),
    ) {
        let text = scenarios::library::QUICKSTART;
        let (at, end) = (at % text.len(), (at % text.len() + length).min(text.len()));
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(end));
        let mutated = format!("{}{put}{}", &text[..at], &text[end..]);
        match Scenario::parse("mutated.toml", mutated) {
            Ok(scenario) => {
                // Whatever counts as good can be explained and planned.
                let _ = scenarios::explain::explain(&scenario);
                let plan = scenarios::plan::Plan::new(&scenario);
                let _ = plan.requests().take(10).count();
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
