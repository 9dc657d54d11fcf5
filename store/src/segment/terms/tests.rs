use std::ops::Range;
use std::sync::Arc;

use arrow::array::{MapBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};

use super::{ROWS, Terms, TermsWriter};
use crate::Table;
use crate::scan::{Filter, Says, Test};
use crate::segment::pages::one;

/// `rows` spans: `name` is the row's number in hundreds, `attributes.id` the row's number.
fn spans(rows: Range<u32>) -> RecordBatch {
    let names: StringArray = rows.clone().map(|row| Some(format!("n{}", row / 100))).collect();
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in rows {
        maps.keys().append_value("id");
        maps.values().append_value(format!("i{row}"));
        maps.append(true).unwrap();
    }
    let maps = maps.finish();
    let schema = Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("attributes", arrow::array::Array::data_type(&maps).clone(), false),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(names), Arc::new(maps)]).unwrap()
}

fn written(rows: u32, batch: u32) -> Vec<u8> {
    let mut writer = TermsWriter::new(Vec::new(), Table::Span).unwrap();
    for start in (0..rows).step_by(batch as usize) {
        writer.add(&spans(start..(start + batch).min(rows))).unwrap();
    }
    writer.finish().unwrap()
}

fn open(bytes: &[u8], rows: u32) -> std::io::Result<Terms> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Terms::open(file.path(), u64::from(rows))
}

fn filter(name: &str, test: Test) -> Filter {
    Filter { column: 0, name: name.to_owned(), test }
}

fn name(value: &str) -> Filter {
    filter("name", Test::Text(value.to_owned()))
}

fn attribute(key: &str, value: &str) -> Filter {
    filter("attributes", Test::Entry(key.to_owned(), value.to_owned()))
}

#[test]
fn rows_without_a_term_are_left_out_however_they_came() {
    let rows = ROWS * 3 + 17;
    for batch in [rows, 1_000, ROWS] {
        let terms = open(&written(rows, batch), rows).unwrap();
        let within = |asked: Vec<Range<u32>>, filters: &[Filter]| -> Vec<(u32, u32)> {
            let rows = terms.possible(Table::Span, asked, filters).unwrap();
            rows.into_iter().map(|rows| (rows.start, rows.end)).collect()
        };
        let possible = |filters: &[Filter]| within(one(0..rows), filters);
        assert_eq!(possible(&[]), [(0, rows)]);
        assert_eq!(possible(&[attribute("id", "i5000")]), [(ROWS, ROWS * 2)]);
        assert_eq!(possible(&[attribute("id", &format!("i{}", rows - 1))]), [(ROWS * 3, rows)]);
        // both must hold for one row, so at least for one of its neighbours each
        assert_eq!(possible(&[attribute("id", "i5000"), name("n0")]), []);
        // on both sides of a border
        assert_eq!(possible(&[name("n40")]), [(0, ROWS * 2)]);
        assert_eq!(possible(&[name("i5000")]), []);
        assert_eq!(possible(&[attribute("ip", "i5000")]), []);
        // what is absent is no term
        assert_eq!(possible(&[attribute("ip", "")]), [(0, rows)]);
        assert_eq!(possible(&[filter("trace_id", Test::Text("x".to_owned()))]), [(0, rows)]);
        let asked = vec![10..20, 4_090..5_001, 12_000..12_010];
        assert_eq!(within(asked, &[attribute("id", "i4100")]), [(4_096, 5_001)]);
    }
    assert_eq!(open(&written(0, 1), 0).unwrap().possible(Table::Span, vec![], &[name("x")]).unwrap(), []);
}

/// A text of some columns, whole or not.
fn says(columns: &[&str], text: &str, whole: bool) -> Filter {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut filter =
        Says { columns, text: text.to_owned(), whole }.filter(Table::Span, &Table::Span.schema()).unwrap();
    filter.moved(&|_| Ok::<_, ()>(0)).unwrap();
    filter
}

#[test]
fn rows_without_a_word_are_left_out_and_older_files_say_nothing_of_words() {
    let rows = ROWS * 2 + 5;
    let bytes = written(rows, 1_000);
    let terms = open(&bytes, rows).unwrap();
    let possible = |terms: &Terms, filter: Filter| -> Vec<(u32, u32)> {
        let rows = terms.possible(Table::Span, one(0..rows), &[filter]).unwrap();
        rows.into_iter().map(|rows| (rows.start, rows.end)).collect()
    };
    assert_eq!(possible(&terms, says(&[], "i5000", true)), [(ROWS, ROWS * 2)]);
    assert_eq!(possible(&terms, says(&["attributes"], "i5000", true)), [(ROWS, ROWS * 2)]);
    // of another column
    assert_eq!(possible(&terms, says(&["name"], "i5000", true)), []);
    assert_eq!(possible(&terms, says(&["name", "attributes"], "n12", true)), [(0, ROWS)]);
    // a part of a word may be in any
    assert_eq!(possible(&terms, says(&[], "i5000", false)), [(0, rows)]);
    assert_eq!(possible(&terms, says(&[], "/i5000 ", false)), [(ROWS, ROWS * 2)]);
    // too short to be in a bloom
    assert_eq!(possible(&terms, says(&[], "zz", true)), [(0, rows)]);
    assert_eq!(possible(&terms, says(&["service"], "i5000", true)), [(0, rows)]);
    // as releases before this one wrote it: no words
    let tail = bytes.len() - 20;
    let words = tail - 3 * 12;
    let mut older = bytes[..words].to_vec();
    let footer = crc32c::crc32c(&older[words - 3 * 12..]);
    older.extend_from_slice(&3_u32.to_le_bytes());
    older.extend_from_slice(&footer.to_le_bytes());
    older.extend_from_slice(&1_u32.to_le_bytes());
    older.extend_from_slice(&bytes[tail + 12..]);
    let terms = open(&older, rows).unwrap();
    assert_eq!(possible(&terms, says(&[], "i5000", true)), [(0, rows)]);
    assert_eq!(possible(&terms, attribute("id", "i5000")), [(ROWS, ROWS * 2)]);
    let mut newer = bytes;
    newer[tail + 8] = 3;
    assert!(open(&newer, rows).is_err());
}

/// One row of each map, of any keys and values.
fn with_attributes(maps: &[Vec<(String, String)>]) -> RecordBatch {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for map in maps {
        for (key, value) in map {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).unwrap();
    }
    let maps = builder.finish();
    let kind = arrow::array::Array::data_type(&maps).clone();
    let schema = Schema::new(vec![Field::new("attributes", kind, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(maps)]).unwrap()
}

#[test]
fn a_zero_byte_hides_no_value_and_no_word() {
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let pairs = [pair("one\0two", "three"), pair("one", "two\0three"), pair("", "one\0two\0three")];
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let mut writer = TermsWriter::new(Vec::new(), Table::Span).unwrap();
        writer.add(&with_attributes(&order.map(|at: usize| pairs[at].clone()))).unwrap();
        let terms = open(&writer.finish().unwrap(), 3).unwrap();
        let found = |filter| !terms.possible(Table::Span, one(0..3), &[filter]).unwrap().is_empty();
        for (key, value) in pairs.iter().flatten() {
            assert!(found(attribute(key, value)), "{key:?} {value:?}");
            for word in value.split('\0') {
                assert!(found(says(&["attributes"], word, true)), "{word}");
            }
        }
    }
}

#[test]
fn too_many_terms_take_bounded_memory_and_their_rows_are_read() {
    let most = super::bloom::most(super::MOST_BYTES);
    let each = most / ROWS as usize + 2;
    let maps = |rows: Range<u32>, each: usize| -> Vec<Vec<(String, String)>> {
        rows.map(|row| (0..each).map(|at| (format!("k{at}"), format!("v{row}x{at}"))).collect()).collect()
    };
    let mut writer = TermsWriter::new(Vec::new(), Table::Span).unwrap();
    for start in (0..ROWS).step_by(256) {
        writer.add(&with_attributes(&maps(start..start + 256, each))).unwrap();
        // a set holds no more than what fits into a bloom, whatever comes
        assert!(writer.held().iter().all(|held| *held <= most + 1), "{:?}", writer.held());
    }
    // the next rows have few again
    writer.add(&with_attributes(&maps(ROWS..ROWS + 9, 1))).unwrap();
    let bytes = writer.finish().unwrap();
    assert!(bytes.len() < 2 * super::MOST_BYTES, "{}", bytes.len());
    let rows = ROWS + 9;
    let terms = open(&bytes, rows).unwrap();
    let possible = |filter| terms.possible(Table::Span, one(0..rows), &[filter]).unwrap();
    // nothing is known of the first, so all of them are read, whatever they are asked
    assert_eq!(possible(attribute("k3", "v77x3")), one(0..ROWS));
    assert_eq!(possible(attribute("k3", "nowhere")), one(0..ROWS));
    assert_eq!(possible(says(&["attributes"], "v77x3", true)), one(0..ROWS));
    assert_eq!(possible(attribute("k0", &format!("v{}x0", ROWS + 3))), one(0..rows));
}

#[test]
fn damaged_files_are_refused() {
    let rows = ROWS + 1;
    let bytes = written(rows, 1_000);
    assert!(open(&bytes, rows).is_ok());
    assert!(open(&bytes, ROWS).is_err());
    for len in (0..bytes.len()).rev().step_by(97) {
        assert!(open(&bytes[..len], rows).is_err());
    }
    for at in bytes.len() - 44..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x41;
        assert!(open(&changed, rows).is_err(), "{at}");
    }
}
