//! The figures of the benchmark as values: medians, targets, and what of them is shown. Measures nothing, prints nothing.

/// What one measure gave, round by round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The middle one; of an even number the mean of the middle two. `None` without any.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        match sorted.len() % 2 {
            0 => Some(f64::midpoint(sorted[middle - 1], upper)),
            _ => Some(upper),
        }
    }

    /// The best one, which other load on the machine disturbs least.
    pub fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }

    /// Takes in one more.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(samples: T) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// What the figures of a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Millis,
    /// Mebibytes.
    Mebibytes,
    /// Megabytes (10^6) a second.
    MegabytesPerSecond,
    /// Things.
    Count,
}

/// Where the median shall be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// No more than this.
    Limit(f64),
    /// No more than so many times the floor.
    TimesFloor(f64),
    /// No less than so many times the floor, where more is better.
    LeastTimesFloor(f64),
    /// No more than this on top of the floor.
    OverFloor(f64),
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, as a reader says it.
    pub measure: String,
    /// Of both `ours` and `floor`.
    pub unit: Unit,
    /// How we did.
    pub ours: Samples,
    /// How the plainest program that does the same did in the same rounds.
    pub floor: Option<Samples>,
    /// What is wanted.
    pub target: Target,
}

/// The heads of the columns of [`Row::cells`].
pub const HEADER: [&str; 7] = ["measure", "median", "min", "floor", "ratio", "target", "met"];

/// Of a figure that there is not.
const NONE: &str = "-";

impl Row {
    /// Whether the target is met; `None` when something is not measured.
    pub fn is_met(&self) -> Option<bool> {
        let ours = self.ours.median()?;
        let floor = || self.floor.as_ref().and_then(Samples::median);
        Some(match self.target {
            Target::Limit(limit) => ours <= limit,
            Target::TimesFloor(times) => ours <= floor()? * times,
            Target::LeastTimesFloor(times) => ours >= floor()? * times,
            Target::OverFloor(more) => ours <= floor()? + more,
        })
    }

    /// The row as text, in the order of [`HEADER`].
    pub fn cells(&self) -> Vec<String> {
        let show = |figure: Option<f64>| figure.map_or_else(|| NONE.to_owned(), |figure| self.unit.show(figure));
        let floor = self.floor.as_ref().and_then(Samples::median);
        let ratio = self.ours.median().zip(floor).filter(|(_, floor)| *floor > 0.0);
        let target = match self.target {
            Target::Limit(limit) => format!("≤ {}", self.unit.show(limit)),
            Target::TimesFloor(times) => format!("≤ {times} × floor"),
            Target::LeastTimesFloor(times) => format!("≥ {times} × floor"),
            Target::OverFloor(more) => format!("≤ floor + {}", self.unit.show(more)),
        };
        let met = match self.is_met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => NONE,
        };
        vec![
            self.measure.clone(),
            show(self.ours.median()),
            show(self.ours.min()),
            show(floor),
            ratio.map_or_else(|| NONE.to_owned(), |(ours, floor)| format!("{:.2}", ours / floor)),
            target,
            met.to_owned(),
        ]
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Millis if figure < 10.0 => format!("{figure:.2} ms"),
            Self::Millis => format!("{figure:.1} ms"),
            Self::Mebibytes => format!("{figure:.1} MiB"),
            Self::MegabytesPerSecond => format!("{figure:.0} MB/s"),
            Self::Count => format!("{figure:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(samples: &[f64]) -> Samples {
        samples.iter().copied().collect()
    }

    fn row(ours: &[f64], floor: Option<&[f64]>, target: Target) -> Row {
        Row {
            measure: "a thing".to_owned(),
            unit: Unit::Millis,
            ours: samples(ours),
            floor: floor.map(samples),
            target,
        }
    }

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_middle_two() {
        assert_eq!(samples(&[]).median(), None);
        assert_eq!(samples(&[3.0]).median(), Some(3.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0, 4.0]).median(), Some(3.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0]).min(), Some(1.0));
        assert_eq!(samples(&[]).min(), None);
    }

    #[test]
    fn a_target_is_met_at_its_very_limit_and_open_without_a_floor() {
        let floor = Some([2.0].as_slice());
        assert_eq!(row(&[3.0], None, Target::Limit(3.0)).is_met(), Some(true));
        assert_eq!(row(&[3.1], None, Target::Limit(3.0)).is_met(), Some(false));
        assert_eq!(row(&[4.0], floor, Target::TimesFloor(2.0)).is_met(), Some(true));
        assert_eq!(row(&[4.1], floor, Target::TimesFloor(2.0)).is_met(), Some(false));
        assert_eq!(row(&[1.6], floor, Target::LeastTimesFloor(0.8)).is_met(), Some(true));
        assert_eq!(row(&[1.5], floor, Target::LeastTimesFloor(0.8)).is_met(), Some(false));
        assert_eq!(row(&[7.0], floor, Target::OverFloor(5.0)).is_met(), Some(true));
        assert_eq!(row(&[7.1], floor, Target::OverFloor(5.0)).is_met(), Some(false));
        assert_eq!(row(&[1.0], None, Target::TimesFloor(2.0)).is_met(), None);
        assert_eq!(row(&[], None, Target::Limit(2.0)).is_met(), None);
    }

    #[test]
    fn a_row_shows_median_min_floor_and_their_ratio() {
        let cells = row(&[30.0, 10.0, 20.0], Some(&[8.0]), Target::TimesFloor(2.0)).cells();
        assert_eq!(
            cells,
            ["a thing", "20.0 ms", "10.0 ms", "8.00 ms", "2.50", "≤ 2 × floor", "NO"]
        );
        let cells = row(&[], None, Target::Limit(3.0)).cells();
        assert_eq!(cells, ["a thing", "-", "-", "-", "-", "≤ 3.00 ms", "-"]);
        assert_eq!(cells.len(), HEADER.len());
    }
}
