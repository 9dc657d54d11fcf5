//! Parameters as the API's description has them; tests hold every endpoint against it.
#![expect(dead_code, reason = "these types only describe what is read one by one")]

use utoipa::IntoParams;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeParams {
    /// Rows at or after this time.
    #[param(example = "-15m")]
    from: Option<String>,
    /// Rows before this time.
    #[param(example = "now")]
    to: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhereParams {
    /// `key=value` on a column of the table. Repeat for more; all must hold. An empty value is absence.
    r#where: Vec<String>,
    /// The most rows.
    limit: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TextParams {
    /// Text that one of the texts searched must contain, case kept. Repeat for more; all must be there.
    contains: Vec<String>,
    /// The same as a whole word. Repeat for more.
    word: Vec<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogParams {
    /// Text that the body must contain. Repeat for more; all must be there.
    contains: Vec<String>,
    /// Text that the body must contain as a whole word. Repeat for more.
    word: Vec<String>,
    /// Regular expression that must match somewhere in the body. Repeat for more.
    regex: Vec<String>,
    /// Text that the body must not contain. Repeat for more.
    exclude: Vec<String>,
    /// Whether upper and lower case are the same.
    ignore_case: Option<bool>,
    /// `key=value` on a column, or on an attribute where there is no such column. Repeat for more.
    r#where: Vec<String>,
}
