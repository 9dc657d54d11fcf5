use std::collections::HashSet;

use arrow::datatypes::DataType;

use super::{Table, log_schema};

#[test]
fn field_ids_and_names_are_unique_within_a_table() {
    for table in Table::ALL {
        let columns = table.columns();
        let ids: HashSet<i32> = columns.iter().map(|column| column.id).collect();
        let names: HashSet<&str> = columns.iter().map(|column| column.name).collect();
        assert_eq!((ids.len(), names.len()), (columns.len(), columns.len()), "{}", table.name());
    }
}

#[test]
fn the_body_is_text_for_a_scan_bytes_for_a_search_and_not_in_the_parquet_file() {
    assert_eq!(Table::Log.schema().field_with_name("body").unwrap().data_type(), &DataType::Utf8);
    assert_eq!(log_schema().field_with_name("body").unwrap().data_type(), &DataType::Binary);
    assert!(Table::Log.file_schema().field_with_name("body").is_err());
}

#[test]
fn a_table_is_found_by_its_name() {
    for table in Table::ALL {
        assert_eq!(Table::from_name(table.name()), Some(table));
    }
}
