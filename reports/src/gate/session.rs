//! A session: a pilot that says how many rounds it takes, the rest of them, and a second look at whatever is suspected.
//!
//! The number of rounds is fixed after the pilot, which is blind to the side (see [`Settings::rounds_needed`]): nobody peeks.
//! What the first look suspects, a second one of as many new rounds has to confirm.

use std::collections::VecDeque;
use std::time::Duration;

use super::judge::{Finding, Judgement, disturbed, judge};
use super::quantity::Quantity;
use super::rounds::{Arm, Round, Rounds};
use super::settings::Settings;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

/// Where rounds come from.
pub trait Source {
    /// Why there may be none.
    type Error;

    /// What a round tells.
    fn quantities(&self) -> Vec<Quantity>;

    /// Plays the next round.
    ///
    /// # Errors
    /// If it cannot be played at all.
    fn round(&mut self, order: [Arm; 3]) -> Result<Played, Self::Error>;

    /// How long the session has taken.
    fn elapsed(&self) -> Duration;
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Played {
    /// It tells something.
    Well(Round),
    /// It was disturbed and has to be played again; where the blocks were played in turn, it was this arm's.
    Disturbed(Option<Arm>),
}

/// What came of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is worse.
    Pass,
    /// Something is better, and nothing worse.
    Improved,
    /// Something is worse, and a second look says so too.
    Regressed,
    /// The noise leaves something open.
    Inconclusive,
    /// The machine was disturbed.
    Invalid,
}

/// A session that has ended.
#[derive(Clone, Debug)]
pub struct Session {
    /// What came of it.
    pub verdict: Verdict,
    /// Why it is invalid, if it is.
    pub reason: Option<String>,
    /// What is known of each quantity: by all rounds, but for findings, which are those of the procedure.
    pub judgements: Vec<Judgement>,
    /// The rounds of the first look.
    pub first: Rounds,
    /// Those of the second, where there was one.
    pub second: Rounds,
    /// How many rounds the first look was to have by its pilot.
    pub needed: usize,
    /// Rounds that were disturbed and played again.
    pub repeated: usize,
    /// How long it took.
    pub took: Duration,
}

/// More than such a share of disturbed rounds among the latest makes the session invalid, once disturbed rounds have taken as much as
/// it may wait for the machine to calm down: such a share of the session's time.
const DISTURBED_SHARE: f64 = 0.5;
const LATEST: usize = 20;
const PATIENCE: f64 = 0.2;

/// The share of a session's time that one of its two looks may take: a little is left for the last round. A look that is disturbed
/// ends then with fewer rounds than it was to have; when that is says nothing of which side is slower.
const A_LOOK: f64 = 0.48;

/// The candidate is blamed for what chance would lay upon it no more often than so.
const BLAME: f64 = 0.001;

/// Fewer rounds cannot tell anything at the level that is asked.
const LEAST: usize = 10;

struct Player<'a, S> {
    source: &'a mut S,
    random: Stream,
    orders: Vec<[Arm; 3]>,
    repeated: usize,
    /// Disturbed blocks of each arm, as far as blocks are played in turn.
    disturbed: [u32; 3],
    /// Which of the latest rounds were disturbed.
    latest: VecDeque<bool>,
    /// What disturbed rounds have taken, and what they may take.
    lost: Duration,
    patience: Duration,
}

impl<S: Source> Player<'_, S> {
    /// Every six rounds have all orders, by chance which first.
    fn order(&mut self) -> [Arm; 3] {
        if self.orders.is_empty() {
            self.orders = Arm::ORDERS.to_vec();
            for i in (1..self.orders.len()).rev() {
                self.orders.swap(i, self.random.below(i as u64 + 1) as usize);
            }
        }
        self.orders.pop().expect("it was filled where it was empty")
    }

    /// Plays up to so many rounds, fewer where the time for them ends before; false where too many of them were disturbed.
    fn fill(&mut self, rounds: &mut Rounds, up_to: usize, until: Duration) -> Result<bool, S::Error> {
        while rounds.rounds.len() < up_to && (rounds.rounds.len() < LEAST || self.source.elapsed() < until) {
            let (order, begun) = (self.order(), self.source.elapsed());
            let round = self.source.round(order)?;
            self.latest.push_back(matches!(round, Played::Disturbed(_)));
            if self.latest.len() > LATEST {
                self.latest.pop_front();
            }
            match round {
                Played::Well(round) => rounds.rounds.push(round),
                Played::Disturbed(arm) => {
                    arm.into_iter().for_each(|arm| self.disturbed[arm as usize] += 1);
                    self.lost += self.source.elapsed().saturating_sub(begun);
                    self.repeated += 1;
                    self.orders.push(order);
                }
            }
            let is_much = self.latest.len() > 8 && self.disturbed_share() > DISTURBED_SHARE;
            if is_much && self.lost >= self.patience {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the candidate's blocks are disturbed more often than chance has it: then those that are left say nothing of it.
    fn blames_candidate(&self) -> Option<String> {
        let (of, all) = (self.disturbed[Arm::Candidate as usize], self.disturbed.iter().sum());
        let by_chance = binomial_from(of, all, 1.0 / 3.0);
        (by_chance < BLAME).then(|| {
            format!("{of} of {all} disturbed blocks were the candidate's: it may be the candidate that disturbs the machine")
        })
    }

    fn disturbed_share(&self) -> f64 {
        let disturbed = self.latest.iter().filter(|disturbed| **disturbed).count();
        disturbed as f64 / self.latest.len().max(1) as f64
    }
}

/// How probable so many hits or more are, of so many that each hit with this probability.
fn binomial_from(hits: u32, of: u32, probability: f64) -> f64 {
    let mut term = (1.0 - probability).powf(f64::from(of));
    let mut below = 0.0;
    for hit in 0..hits {
        below += term;
        term *= f64::from(of - hit) / f64::from(hit + 1) * probability / (1.0 - probability);
    }
    (1.0 - below).max(0.0)
}

/// Holds a session.
///
/// # Errors
/// Those of the source.
pub fn hold<S: Source>(source: &mut S, settings: &Settings) -> Result<Session, S::Error> {
    let quantities = source.quantities();
    let empty = || Rounds { quantities: quantities.clone(), rounds: Vec::new() };
    let mut session = Session {
        verdict: Verdict::Invalid,
        reason: None,
        judgements: Vec::new(),
        first: empty(),
        second: empty(),
        needed: settings.pilot,
        repeated: 0,
        took: Duration::ZERO,
    };
    let random = Stream::new(Seed(settings.seed), Purpose::named("order of blocks"), 0);
    let mut player = Player {
        source,
        random,
        orders: Vec::new(),
        repeated: 0,
        disturbed: [0; 3],
        latest: VecDeque::new(),
        lost: Duration::ZERO,
        patience: settings.budget.mul_f64(PATIENCE),
    };
    look(&mut player, settings, &mut session)?;
    if let Some(reason) = player.blames_candidate().filter(|_| session.verdict != Verdict::Regressed) {
        (session.verdict, session.reason) = (Verdict::Invalid, Some(reason));
    }
    session.repeated = player.repeated;
    session.took = player.source.elapsed();
    Ok(session)
}

/// How many rounds the first look can have in all, by what they took so far and how many of the latest had to be played again: as many
/// more are for the second look.
fn affordable<S: Source>(player: &Player<'_, S>, rounds: &Rounds, settings: &Settings) -> usize {
    let so_far = rounds.rounds.len() as f64;
    let seconds = rounds.rounds.iter().map(|round| round.seconds).sum::<f64>() / so_far.max(1.0);
    let a_round = (seconds / (1.0 - player.disturbed_share().min(DISTURBED_SHARE))).max(1e-9);
    let left = 2.0 * A_LOOK * settings.budget.as_secs_f64() - player.source.elapsed().as_secs_f64();
    ((left + so_far * a_round) / (2.0 * a_round)) as usize
}

fn look<S: Source>(
    player: &mut Player<'_, S>,
    settings: &Settings,
    session: &mut Session,
) -> Result<(), S::Error> {
    const REPEATED: &str = "more than half of the latest rounds were disturbed";
    let (first_end, second_end) = (settings.budget.mul_f64(A_LOOK), settings.budget.mul_f64(2.0 * A_LOOK));
    if !player.fill(&mut session.first, 1, first_end)? {
        session.reason = Some(REPEATED.to_owned());
        return Ok(());
    }
    let pilot = settings.pilot.min(affordable(player, &session.first, settings));
    if pilot < LEAST {
        let took = session.first.rounds[0].seconds;
        session.reason = Some(format!(
            "a round takes {took:.1} s, so that the time allowed is too short for {LEAST} of them, twice"
        ));
        return Ok(());
    }
    if !player.fill(&mut session.first, pilot, first_end)? {
        session.reason = Some(REPEATED.to_owned());
        return Ok(());
    }
    session.needed = settings.rounds_needed(&session.first);
    let affordable = affordable(player, &session.first, settings);
    let count = session.needed.min(affordable).max(session.first.rounds.len());
    if !player.fill(&mut session.first, count, first_end)? {
        session.reason = Some(REPEATED.to_owned());
        return Ok(());
    }
    session.judgements = judge(&session.first, settings, settings.alarm, |_| true);
    if let Some(reason) = contaminated(&session.first, settings) {
        session.reason = Some(reason);
        return Ok(());
    }
    let suspects: Vec<usize> = (0..session.judgements.len())
        .filter(|q| session.judgements[*q].finding == Finding::Regressed)
        .collect();
    if !suspects.is_empty() {
        if !player.fill(&mut session.second, count, second_end)? {
            session.reason = Some(REPEATED.to_owned());
            return Ok(());
        }
        if let Some(reason) = contaminated(&session.second, settings) {
            session.reason = Some(reason);
            return Ok(());
        }
        confirm(session, settings, &suspects);
    }
    let has = |finding: Finding, gated: bool| {
        session.judgements.iter().any(|j| j.finding == finding && (j.rules.gated || !gated))
    };
    session.verdict = if has(Finding::Regressed, false) {
        Verdict::Regressed
    } else if has(Finding::Open, true) {
        Verdict::Inconclusive
    } else if has(Finding::Improved, false) {
        Verdict::Improved
    } else {
        Verdict::Pass
    };
    Ok(())
}

fn contaminated(rounds: &Rounds, settings: &Settings) -> Option<String> {
    let differs = disturbed(rounds, settings);
    let names: Vec<String> = differs.iter().map(ToString::to_string).collect();
    (!names.is_empty())
        .then(|| format!("the base differs from itself by more than the margin in {}", names.join(", ")))
}

/// What the second look confirms stays suspected; what it does not is judged anew by all rounds, where it cannot be a
/// regression any more.
fn confirm(session: &mut Session, settings: &Settings, suspects: &[usize]) {
    let second = judge(&session.second, settings, settings.confirmation, |q| suspects.contains(&q));
    let mut all = session.first.clone();
    all.rounds.extend(session.second.rounds.iter().cloned());
    let mut pooled = judge(&all, settings, settings.alarm, |_| true);
    for (q, judged) in pooled.iter_mut().enumerate() {
        let place = suspects.iter().position(|s| *s == q);
        let confirmed = place.is_some_and(|place| second[place].finding == Finding::Regressed);
        judged.finding = match session.judgements[q].finding {
            Finding::Regressed if confirmed => Finding::Regressed,
            Finding::Regressed if judged.finding == Finding::Regressed => Finding::Open,
            Finding::Regressed => judged.finding,
            other => other,
        };
    }
    session.judgements = pooled;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::ops::Range;

    use super::super::quantity::Metric;
    use super::*;

    /// A machine that is disturbed in some seconds, all blocks of it or one arm's, with rounds of a second of two programs that are the same or not.
    struct Machine {
        disturbed: Range<f64>,
        whose: Option<Arm>,
        noise: f64,
        worse: f64,
        elapsed: f64,
        random: Stream,
    }

    impl Source for Machine {
        type Error = Infallible;

        fn quantities(&self) -> Vec<Quantity> {
            vec![Quantity { scenario: "steady".to_owned(), metric: Metric::CpuPerRequest }]
        }

        fn round(&mut self, order: [Arm; 3]) -> Result<Played, Infallible> {
            self.elapsed += 1.0;
            let mut values = [(); 3].map(|()| vec![1.0 + self.noise * self.random.unit()]);
            values[2][0] *= 1.0 + self.worse;
            let is_disturbed = self.elapsed > self.disturbed.start && self.elapsed <= self.disturbed.end;
            Ok(if is_disturbed {
                Played::Disturbed(self.whose)
            } else {
                Played::Well(Round { order, values, seconds: 1.0 })
            })
        }

        fn elapsed(&self) -> Duration {
            Duration::from_secs_f64(self.elapsed)
        }
    }

    fn held(settings: &Settings, disturbed: Range<f64>, noise: f64, worse: f64) -> Session {
        held_with(settings, disturbed, None, noise, worse)
    }

    fn held_with(
        settings: &Settings,
        disturbed: Range<f64>,
        whose: Option<Arm>,
        noise: f64,
        worse: f64,
    ) -> Session {
        let random = Stream::new(Seed(3), Purpose::named("noise"), 0);
        let mut machine = Machine { disturbed, whose, noise, worse, elapsed: 0.0, random };
        let Ok(session) = hold(&mut machine, settings);
        session
    }

    fn session(calm_at: f64) -> Session {
        held(&Settings::default(), 0.0..calm_at, 0.02, 0.0)
    }

    #[test]
    fn a_machine_may_calm_down_for_a_fifth_of_the_time() {
        let patience = Settings::default().budget.as_secs_f64() * PATIENCE;
        // Calm for long enough that most of the latest rounds are good when patience ends.
        let (calm, late) = (session(0.0), session(patience - 12.0));
        assert_eq!((calm.verdict, calm.repeated), (Verdict::Pass, 0));
        assert_eq!((late.verdict, late.repeated), (Verdict::Pass, patience as usize - 12));
        assert_eq!(late.first.rounds.len(), calm.first.rounds.len(), "it has as many rounds as it takes");
        let never = session(f64::INFINITY);
        assert_eq!(never.verdict, Verdict::Invalid);
        assert!((never.took.as_secs_f64() - patience).abs() <= 1.0, "{:?}", never.took);
    }

    #[test]
    fn a_candidate_whose_blocks_alone_are_disturbed_does_not_pass() {
        let session = |whose| held_with(&Settings::default(), 5.0..14.0, whose, 0.02, 0.0);
        let blamed = session(Some(Arm::Candidate));
        assert_eq!((blamed.verdict, blamed.repeated), (Verdict::Invalid, 9));
        assert!(blamed.reason.is_some_and(|reason| reason.starts_with("9 of 9 disturbed blocks")));
        assert_eq!([session(Some(Arm::Base)).verdict, session(None).verdict], [Verdict::Pass; 2]);
    }

    #[test]
    fn tails_of_the_binomial_law() {
        // Of four coins: 5 of 16 show heads thrice or more.
        assert!((binomial_from(3, 4, 0.5) - 0.3125).abs() < 1e-12);
        assert_eq!([binomial_from(0, 9, 0.3), binomial_from(0, 0, 0.3)], [1.0; 2]);
        assert!((binomial_from(9, 9, 1.0 / 3.0) - 3.0_f64.powi(-9)).abs() < 1e-12);
    }

    #[test]
    fn a_disturbance_later_costs_rounds_and_the_session_keeps_to_its_time() {
        // The noise takes as many rounds as there may be.
        let settings = Settings { budget: Duration::from_secs(480), ..Settings::default() };
        let session = |disturbed| held(&settings, disturbed, 0.3, 0.05);
        let (calm, late) = (session(0.0..0.0), session(100.0..190.0));
        assert_eq!(
            (calm.verdict, calm.repeated, calm.first.rounds.len()),
            (Verdict::Regressed, 0, settings.most)
        );
        assert_eq!((late.verdict, late.repeated, late.needed), (Verdict::Regressed, 90, settings.most));
        assert!(late.first.rounds.len() < settings.most, "its time was over");
        assert!(late.took <= settings.budget, "{:?}", late.took);
        // Where more is lost than may be, nothing is said.
        assert_eq!(session(100.0..250.0).verdict, Verdict::Invalid);
    }
}
