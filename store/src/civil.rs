//! Days since 1970 and the civil dates that they are, by Hinnant's algorithm: the path of every segment and each time in
//! a template are made with it, so it allocates nothing.

/// Days since 1970 of a civil date that exists (Hinnant's algorithm).
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > longest {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// The civil date of a day since 1970.
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{date, days_of};

    #[test]
    fn a_date_and_its_day_find_each_other() {
        assert_eq!((date(0), date(-1), date(11_016)), ((1970, 1, 1), (1969, 12, 31), (2000, 2, 29)));
        for day in (-800_000..3_000_000).step_by(37) {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days_of(year, month, day_of_month), Some(day));
        }
    }

    #[test]
    fn what_no_calendar_has_is_no_day() {
        for (year, month, day) in [(1900, 2, 29), (2001, 2, 29), (2000, 4, 31), (2000, 13, 1), (2000, 1, 0)] {
            assert_eq!(days_of(year, month, day), None);
        }
    }
}
