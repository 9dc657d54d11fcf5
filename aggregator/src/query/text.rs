//! The text of a query: bounded before it is parsed, one statement, and one that only reads.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::query::error::{Place, QueryError};

/// The most bytes of a query.
pub(crate) const MOST_BYTES: usize = 256 << 10;
/// The most words, numbers and signs of a query: planning takes stack and time for each.
pub(crate) const MOST_TOKENS: usize = 4_096;
/// How deep brackets may nest.
const MOST_DEPTH: usize = 64;

/// The one statement of this text.
///
/// # Errors
/// If it cannot be understood, is none or several, or changes something.
pub(crate) fn read(query: &str) -> Result<Statement, QueryError> {
    if query.len() > MOST_BYTES {
        return Err(QueryError::TooLong { found: query.len(), unit: "bytes", limit: MOST_BYTES });
    }
    let dialect = GenericDialect {};
    let tokens =
        Tokenizer::new(&dialect, query).tokenize_with_location().map_err(|error| QueryError::Invalid {
            message: error.message.clone(),
            place: Some(Place { line: error.location.line, column: error.location.column }),
        })?;
    let found = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if found > MOST_TOKENS {
        return Err(QueryError::TooLong { found, unit: "words and signs", limit: MOST_TOKENS });
    }
    let mut parser = DFParserBuilder::new(query)
        .with_dialect(&dialect)
        .with_recursion_limit(MOST_DEPTH)
        .build()
        .map_err(QueryError::from_engine)?;
    let mut statements = parser.parse_statements().map_err(QueryError::from_engine)?;
    let statement = match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => statement,
        (None, _) => return Err(QueryError::invalid("the query is empty")),
        (Some(_), more) => {
            return Err(QueryError::invalid(format!("{} statements; one is run at a time", more + 1)));
        }
    };
    if !only_reads(&statement) {
        let words: Vec<_> = query.split_whitespace().take(2).collect();
        return Err(read_only(words.join(" ")));
    }
    Ok(statement)
}

/// The refusal of what does more than read.
pub(crate) fn read_only(what: impl Into<String>) -> QueryError {
    let what: String = what.into();
    QueryError::invalid(format!("{what:.80}: only SELECT, EXPLAIN, SHOW and DESCRIBE are run"))
}

fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => only_reads(&explain.statement),
        Statement::Statement(sql) => matches!(
            sql.as_ref(),
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowVariable { .. }
                | Sql::ShowFunctions { .. }
        ),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proto::error::ErrorCode;

    use super::read;
    use crate::query::error::{Place, QueryError};

    #[test]
    fn what_only_reads_is_read() {
        for query in [
            "SELECT 1",
            "with a as (select 1) select * from a;",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE VERBOSE SELECT 1",
            "SHOW TABLES",
            "SHOW COLUMNS FROM log",
            "SHOW FUNCTIONS",
            "DESCRIBE log",
            "DESC log",
            "VALUES (1, 2)",
        ] {
            read(query).unwrap();
        }
    }

    #[test]
    fn what_changes_something_is_refused() {
        for query in [
            "CREATE TABLE a AS SELECT 1",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
            "COPY log TO '/tmp/log.csv'",
            "EXPLAIN COPY log TO '/tmp/log.csv'",
            "EXPLAIN ANALYZE COPY log TO '/tmp/log.csv'",
            "INSERT INTO log VALUES (1)",
            "DELETE FROM log",
            "UPDATE log SET body = ''",
            "DROP TABLE log",
            "TRUNCATE log",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "PREPARE a AS SELECT 1",
            "BEGIN",
            "SELECT 1; SELECT 2",
            "",
            "  -- nothing",
        ] {
            assert_eq!(read(query).unwrap_err().code(), ErrorCode::Invalid, "{query}");
        }
    }

    #[test]
    fn a_mistake_has_a_place() {
        let QueryError::Invalid { place, .. } = read("SELECT 'open").unwrap_err() else {
            panic!("not invalid")
        };
        assert_eq!(place, Some(Place { line: 1, column: 8 }));
        let QueryError::Invalid { place, .. } = read("SELECT *\nFROM )").unwrap_err() else {
            panic!("not invalid")
        };
        assert_eq!(place.map(|place| place.line), Some(2));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert_eq!(read(&"a".repeat(300 << 10)).unwrap_err().code(), ErrorCode::TooLarge);
        assert_eq!(
            read(&format!("SELECT 1{}", " + 1".repeat(5_000))).unwrap_err().code(),
            ErrorCode::TooLarge
        );
        let deep = format!("SELECT {}1{}", "(".repeat(1_000), ")".repeat(1_000));
        assert_eq!(read(&deep).unwrap_err().code(), ErrorCode::Invalid);
    }
}
