//! The page's colours: lines are told from each other, and everything from what it lies on, whatever cones an eye has.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../../templates/style.css");
const THEMES: [&str; 2] = ["light", "dark"];
/// Styles of lines.
const LINES: usize = 8;
/// How far the colours of two lines lie apart at least, by CIE 1976: several times what is just noticed, 2.3 (M. Mahy and others,
/// *Evaluation of uniform color differences developed after the adoption of CIELAB and CIELUV*, Color Research and Application 19, 1994).
const APART: f64 = 12.0;
/// The least contrast of a line, and of a text, with what it lies on: WCAG 2.2, success criteria 1.4.11 and 1.4.3.
const LINE_CONTRAST: f64 = 3.0;
const TEXT_CONTRAST: f64 = 4.5;

type Matrix = [[f64; 3]; 3];

/// What linear red, green and blue are to an eye: to one with all cones, and to those that lack those for long, middle or short waves
/// (G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, *A physiologically-based model for simulation of color vision deficiency*, IEEE
/// Transactions on Visualization and Computer Graphics 15, 2009, severity 1).
const EYES: [(&str, Matrix); 4] = [
    ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    (
        "protanopia",
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    ),
    (
        "deuteranopia",
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ),
    (
        "tritanopia",
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ),
];

/// The variables of a theme.
fn colours(theme: usize) -> BTreeMap<&'static str, &'static str> {
    let rule = STYLE.split(":root {").nth(theme + 1).and_then(|rest| rest.split('}').next());
    let pairs = rule.expect("each theme has its rule").split(';').filter_map(|pair| pair.split_once(':'));
    pairs.map(|(name, value)| (name.trim(), value.trim())).collect()
}

/// Linear red, green and blue, by the curve of sRGB (IEC 61966-2-1).
fn linear(hex: &str) -> [f64; 3] {
    [1, 3, 5].map(|at: usize| {
        let channel = hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let share = f64::from(channel.unwrap_or_else(|| panic!("{hex} is a colour"))) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    })
}

fn times(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
}

/// CIE 1976 L*a*b* under D65.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    const XYZ: Matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ];
    let [x, y, z] = times(&XYZ, rgb.map(|channel| channel.clamp(0.0, 1.0)));
    let root = |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let [x, y, z] = [root(x / 0.95047), root(y), root(z / 1.08883)];
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// How far two colours are apart to an eye.
fn distance(a: &str, b: &str, eye: &Matrix) -> f64 {
    let [a, b] = [a, b].map(|hex| lab(times(eye, linear(hex))));
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// By WCAG 2.2.
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |hex: &str| {
        let [red, green, blue] = linear(hex);
        0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
    };
    let (a, b) = (luminance(a), luminance(b));
    f64::max(a / b, b / a)
}

#[test]
fn lines_have_colours_of_their_own_for_the_colour_blind_as_well() {
    for (theme, name) in THEMES.iter().enumerate() {
        let colours = colours(theme);
        let line = |number: usize| colours[format!("--s{number}").as_str()];
        for (eye, matrix) in &EYES {
            for (a, b) in (1..=LINES).flat_map(|a| (1..a).map(move |b| (a, b))) {
                let apart = distance(line(a), line(b), matrix);
                assert!(apart >= APART, "{name}, {eye}: lines {a} and {b} are {apart:.1} apart");
            }
        }
    }
    // A brick red and an ochre are one colour to those without cones for middle waves, and far apart to others.
    let [apart, alike] = [&EYES[0].1, &EYES[2].1].map(|eye| distance("#d55e00", "#b78600", eye));
    assert!(apart > 30.0 && alike < 5.0, "{apart:.1} and {alike:.1}");
}

#[test]
fn lines_and_texts_stand_out_from_what_they_lie_on() {
    for (theme, name) in THEMES.iter().enumerate() {
        let colours = colours(theme);
        for number in 1..=LINES {
            let found = contrast(colours[format!("--s{number}").as_str()], colours["--card"]);
            assert!(found >= LINE_CONTRAST, "{name}: line {number} has {found:.2}");
        }
        let texts = [
            ("--ink", "--page"),
            ("--soft", "--page"),
            ("--soft", "--card"),
            ("--text", "--card"),
            ("--good", "--good-bg"),
            ("--bad", "--bad-bg"),
            ("--doubt", "--doubt-bg"),
        ];
        for (text, ground) in texts {
            let found = contrast(colours[text], colours[ground]);
            assert!(found >= TEXT_CONTRAST, "{name}: {text} on {ground} has {found:.2}");
        }
    }
}
