//! From what sums of costs take to what each of them takes.
//!
//! Every equation says that the sum of some costs takes so long on average; the costs' means solve them by least squares, run by run,
//! so that whatever all probes of a run share (a machine that is slower in this minute) stays in one run and shows as the spread between
//! runs, from which Student's t makes the interval. A mean below zero is taken for zero, and the others are solved again (the active
//! set of C. L. Lawson and R. J. Hanson, *Solving Least Squares Problems*, 1974, chapter 23, without its return of costs that would
//! become positive again).
//!
//! Where costs are independent, the variances of probes are the sums of those of the costs, so that the same equations are solved for
//! these, likewise without any below zero: what a request's costs vary by together is then what was measured, also where it is open which
//! of them it is. A cost that varies is log-normal with its mean and variance (method of moments); any other is constant.

use results::figure::CONFIDENCE;
use results::statistics::Moments;
use scenarios::derive::measuring::{Cost, CostKind};

/// How strongly what cannot be told apart is drawn to what is assumed: too weakly to matter where it can.
const WEIGHT_OF_HALVES: f64 = 1e-2;
const WEIGHT_OF_NOTHING: f64 = 3e-6;
/// What is less is what weights leave of nothing.
const LEAST_WAKING_S: f64 = 1e-6;
/// A cost with a smaller coefficient of variation is as good as constant, and one with a larger is no fixed cost.
const LEAST_VARIATION: f64 = 0.1;
const MOST_VARIATION: f64 = 5.0;

/// What an equation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A probe's service time.
    Probe(String),
    /// The processor time of a component's requests.
    Processor(String),
    /// What is assumed where the others leave it open.
    Assumption,
}

/// The sum of some costs, each so often, is so much, in each run.
#[derive(Clone, Debug)]
pub(super) struct Equation {
    pub(super) of: Of,
    pub(super) terms: Vec<(Cost, f64)>,
    pub(super) weight: f64,
    pub(super) means_s: Vec<f64>,
    /// The same of the squares; none where that is not known.
    pub(super) variances: Option<Vec<f64>>,
    /// Where it is processor time that others than these costs may have taken, too: how often each request wakes its component.
    pub(super) wakings: f64,
}

/// What a cost is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fitted {
    pub(super) cost: Cost,
    pub(super) mean_s: f64,
    /// Half the width of the mean's 95% interval.
    pub(super) half_width_s: f64,
    /// The coefficient of variation of a log-normal cost; none of a constant one.
    pub(super) variation: Option<f64>,
    /// The equations that it is in.
    pub(super) from: Vec<String>,
    /// What was assumed, or went wrong.
    pub(super) remarks: Vec<String>,
}

/// All costs, and what they leave unexplained of each probe, in seconds.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) costs: Vec<Fitted>,
    pub(super) residuals: Vec<(String, Moments)>,
}

/// Solves equations that hold in each of so many runs.
pub(super) fn fit(equations: &[Equation], runs: usize) -> Fit {
    let mut costs: Vec<Cost> = Vec::new();
    for (cost, _) in equations.iter().flat_map(|equation| &equation.terms) {
        if !costs.contains(cost) {
            costs.push(cost.clone());
        }
    }
    let (all, halves) = with_assumptions(equations, &costs, runs);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;

    let column = |equation: &Equation, run: Option<usize>| match run {
        Some(run) => equation.means_s[run],
        None => mean(&equation.means_s),
    };
    let rows = |run| all.iter().map(|e| (e.weight, row(e, &costs), column(e, run))).collect::<Vec<Row>>();
    let free = not_below_zero(&rows(None), costs.len());
    let by_run: Vec<Vec<f64>> = (0..runs).map(|run| solve(&rows(Some(run)), &free)).collect();

    let variances = variances(&all, &costs, &free, runs);
    let fitted = costs.iter().enumerate().map(|(number, cost)| {
        let values: Vec<f64> = by_run.iter().map(|solved| solved[number]).collect();
        let moments = Moments::of(&values);
        let mut remarks = Vec::new();
        if let Some((one, other)) = &halves
            && (cost == one || cost == other)
        {
            remarks.push(format!("half of what {one} and {other} take together: nothing tells them apart"));
        }
        let occupies = matches!(cost.kind, CostKind::Command | CostKind::Request);
        let is_known = equations
            .iter()
            .any(|e| matches!(&e.of, Of::Processor(name) if Some(name) == cost.component.as_ref()));
        let is_statement = matches!(cost.kind, CostKind::Read | CostKind::Write);
        if (occupies || is_statement) && is_known {
            remarks.push("by the processor time that its process took".to_owned());
        }
        if is_statement && is_known {
            remarks.push("as large a share of a read as of a write: nothing tells them apart".to_owned());
        }
        if occupies && !is_known {
            remarks.push("not known, so it is taken for nothing".to_owned());
        } else if !free[number] {
            remarks.push("came out below zero, so it is taken for nothing".to_owned());
        }
        let variation =
            (cost.kind.has_law() && free[number]).then(|| variation(moments.mean, &variances, number));
        Fitted {
            cost: cost.clone(),
            mean_s: moments.mean.max(0.0),
            half_width_s: moments.half_width(CONFIDENCE),
            variation: variation.flatten(),
            from: sources(equations, cost),
            remarks,
        }
    });
    let mut fitted: Vec<Fitted> = fitted.collect();
    fitted.extend(equations.iter().filter_map(|equation| waking(equation, &row(equation, &costs), &by_run)));
    let residual = |equation: &Equation| {
        let row = row(equation, &costs);
        let left = |run: usize| {
            let explained: f64 = row.iter().zip(&by_run[run]).map(|(times, value)| times * value).sum();
            equation.means_s[run] - explained
        };
        match &equation.of {
            Of::Probe(class) => Some((class.clone(), Moments::of(&(0..runs).map(left).collect::<Vec<_>>()))),
            _ => None,
        }
    };
    let residuals = equations.iter().filter_map(residual).collect();
    Fit { costs: fitted, residuals }
}

/// What waking a component takes: the processor time that it took and that its requests' ways have no room for. None where that is
/// not above zero beyond its interval.
fn waking(equation: &Equation, row: &[f64], by_run: &[Vec<f64>]) -> Option<Fitted> {
    let Of::Processor(component) = &equation.of else { return None };
    let left = |(spent, solved): (&f64, &Vec<f64>)| {
        let explained: f64 = row.iter().zip(solved).map(|(times, value)| times * value).sum();
        (spent - explained) / equation.wakings
    };
    let left: Vec<f64> = equation.means_s.iter().zip(by_run).map(left).collect();
    let moments = Moments::of(&left);
    let half_width_s = moments.half_width(CONFIDENCE);
    (equation.wakings > 0.0 && moments.mean > half_width_s.max(LEAST_WAKING_S)).then(|| Fitted {
        cost: Cost::of(component, CostKind::Wake),
        mean_s: moments.mean,
        half_width_s,
        variation: None,
        from: vec![format!("processor time of {component}")],
        remarks: vec![format!("what is left of it, at {:.2} times a request", equation.wakings)],
    })
}

/// The names of the equations that a cost is in.
fn sources(equations: &[Equation], cost: &Cost) -> Vec<String> {
    let is_measured = |equation: &&Equation| equation.of != Of::Assumption;
    let has_it = |equation: &&Equation| equation.terms.iter().any(|(other, _)| other == cost);
    let with = equations.iter().filter(is_measured).filter(has_it);
    let name = |equation: &Equation| match &equation.of {
        Of::Probe(class) => class.clone(),
        Of::Processor(component) => format!("processor time of {component}"),
        Of::Assumption => String::new(),
    };
    with.map(name).collect()
}

/// The equations with what is assumed where they leave it open: that the client's end and the first service take as much as each other,
/// and that what occupies something is nothing where nobody measured it. The pair of halves, where that assumption decided.
fn with_assumptions(
    equations: &[Equation],
    costs: &[Cost],
    runs: usize,
) -> (Vec<Equation>, Option<(Cost, Cost)>) {
    let client = Cost::common(CostKind::Client);
    let beside = |equation: &Equation| match &equation.terms[..] {
        [(first, _), (second, _)] if *first == client && second.kind == CostKind::Latency => {
            Some(second.clone())
        }
        _ => None,
    };
    let service = equations.iter().find_map(beside);
    let mut all = equations.to_vec();
    let assume = |terms: Vec<(Cost, f64)>, weight| Equation {
        of: Of::Assumption,
        terms,
        weight,
        means_s: vec![0.0; runs],
        variances: Some(vec![0.0; runs]),
        wakings: 0.0,
    };
    let occupies = |cost: &&Cost| matches!(cost.kind, CostKind::Command | CostKind::Key | CostKind::Request);
    for cost in costs.iter().filter(occupies) {
        all.push(assume(vec![(cost.clone(), 1.0)], WEIGHT_OF_NOTHING));
    }
    let Some(service) = service else { return (all, None) };
    let open = {
        let rows: Vec<Row> = all.iter().map(|e| (e.weight, row(e, costs), 0.0)).collect();
        rank(&rows, costs.len()) < costs.len()
    };
    all.push(assume(vec![(client.clone(), 1.0), (service.clone(), -1.0)], WEIGHT_OF_HALVES));
    (all, open.then_some((client, service)))
}

/// The variance of each cost in each run, where probes tell of it.
fn variances(equations: &[Equation], costs: &[Cost], free: &[bool], runs: usize) -> Vec<Vec<f64>> {
    let known: Vec<(&Equation, &Vec<f64>)> =
        equations.iter().filter_map(|e| Some((e, e.variances.as_ref()?))).collect();
    let rows = |run: Option<usize>| -> Vec<Row> {
        let of = |(equation, values): &(&Equation, &Vec<f64>)| {
            let value = match run {
                Some(run) => values[run],
                None => values.iter().sum::<f64>() / runs.max(1) as f64,
            };
            // What is drawn several times is drawn anew each time; of an assumed difference, both variances count as equal.
            (equation.weight, row(equation, costs), value)
        };
        known.iter().map(of).collect()
    };
    // What costs without a law take varies as well, and must not be laid at the door of the others.
    let kept = not_below_zero(&rows(None), costs.len());
    let free: Vec<bool> = free.iter().zip(kept).map(|(free, kept)| *free && kept).collect();
    (0..runs).map(|run| solve(&rows(Some(run)), &free)).collect()
}

/// The coefficient of variation of a log-normal cost; none where its variance is too small to matter.
fn variation(mean_s: f64, by_run: &[Vec<f64>], number: usize) -> Option<f64> {
    let values: Vec<f64> = by_run.iter().map(|solved| solved[number]).collect();
    let variation = Moments::of(&values).mean.max(0.0).sqrt() / mean_s;
    (mean_s > 0.0 && variation >= LEAST_VARIATION).then_some(variation.min(MOST_VARIATION))
}

/// A weight, how often each cost is in the sum, and the sum.
type Row = (f64, Vec<f64>, f64);

fn row(equation: &Equation, costs: &[Cost]) -> Vec<f64> {
    let times = |cost: &Cost| equation.terms.iter().filter(|(c, _)| c == cost).map(|(_, times)| times).sum();
    costs.iter().map(times).collect()
}

/// Which costs are not below zero in the least-squares solution: the lowest is taken out until none is.
fn not_below_zero(rows: &[Row], costs: usize) -> Vec<bool> {
    let mut free = vec![true; costs];
    loop {
        let solved = solve(rows, &free);
        // What rounding leaves of nothing is not below it.
        let lowest = (0..costs).filter(|i| free[*i] && solved[*i] < -1e-12);
        let Some(lowest) = lowest.min_by(|a, b| solved[*a].total_cmp(&solved[*b])) else { return free };
        free[lowest] = false;
    }
}

/// The least-squares solution of the costs that are free, by the normal equations; the others are zero.
fn solve(rows: &[Row], free: &[bool]) -> Vec<f64> {
    let places: Vec<usize> = (0..free.len()).filter(|i| free[*i]).collect();
    let n = places.len();
    let mut matrix = vec![vec![0.0; n + 1]; n];
    for (weight, times, sum) in rows {
        let square = weight * weight;
        for (i, a) in places.iter().enumerate() {
            for (j, b) in places.iter().enumerate() {
                matrix[i][j] += square * times[*a] * times[*b];
            }
            matrix[i][n] += square * times[*a] * sum;
        }
    }
    let pivots = eliminate(&mut matrix, n);
    let mut solved = vec![0.0; free.len()];
    for (place, pivot) in places.iter().zip(pivots) {
        solved[*place] = pivot.map_or(0.0, |row| matrix[row][n]);
    }
    solved
}

/// How many costs the equations that are not mere assumptions tell apart.
fn rank(rows: &[Row], costs: usize) -> usize {
    let mut matrix: Vec<Vec<f64>> = rows.iter().map(|(_, times, _)| times.clone()).collect();
    matrix.iter_mut().for_each(|row| row.push(0.0));
    eliminate(&mut matrix, costs).into_iter().flatten().count()
}

/// Gauss and Jordan's elimination with partial pivoting, in place: for each column the row that holds its value, if it has one.
fn eliminate(matrix: &mut [Vec<f64>], columns: usize) -> Vec<Option<usize>> {
    // Weights are squared, so that the least of them leaves pivots of this size.
    const NOTHING: f64 = 1e-13;
    let mut next = 0;
    let mut pivots = vec![None; columns];
    for (column, pivot) in pivots.iter_mut().enumerate() {
        let best =
            (next..matrix.len()).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()));
        let Some(best) = best.filter(|best| matrix[*best][column].abs() > NOTHING) else { continue };
        matrix.swap(next, best);
        let value = matrix[next][column];
        matrix[next].iter_mut().for_each(|cell| *cell /= value);
        let chosen = matrix[next].clone();
        for (at, row) in matrix.iter_mut().enumerate() {
            let times = row[column];
            if at != next && times != 0.0 {
                row.iter_mut().zip(&chosen).for_each(|(cell, own)| *cell -= times * own);
            }
        }
        *pivot = Some(next);
        next += 1;
    }
    pivots
}
