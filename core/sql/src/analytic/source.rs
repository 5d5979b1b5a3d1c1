//! What names in a query mean: the tenant's tables, DataFusion's functions, and Postgres' functions about the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, TableReference, not_impl_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, HigherOrderUDF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableSource,
    Volatility, WindowUDF,
};
use sqlparser::ast;
use tenet_catalog::Catalog;
use tenet_types::{SqlType, Value};

use super::arithmetic::{Checked, sum};
use super::calendar;
use super::convert::{arrow_type, scalar};
use super::own;
use super::table::Table;
use crate::SqlError;
use crate::plan::no_such_table;
use crate::scalar::Env;

pub struct Source<'a> {
    base: &'a SessionState,
    catalog: &'a Catalog,
    functions: BTreeMap<&'static str, Arc<ScalarUDF>>,
    sum: Arc<AggregateUDF>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<dyn TypePlanner>,
}

impl<'a> Source<'a> {
    pub fn new(base: &'a SessionState, catalog: &'a Catalog) -> Source<'a> {
        let functions = FACTS
            .into_iter()
            .map(|(name, kind)| {
                let signature = Signature::exact(Vec::new(), Volatility::Stable);
                (name, Arc::new(ScalarUDF::new_from_impl(Fact { name, kind, signature })))
            })
            .collect();
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Checked), Arc::new(calendar::Extracts)];
        planners.extend(base.expr_planners().iter().cloned());
        Source { base, catalog, functions, sum: sum(), planners, types: Arc::new(Types) }
    }
}

fn external<T>(error: SqlError) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}

impl ContextProvider for Source<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let in_public = name.schema().is_none_or(|schema| schema == "public");
        match self.catalog.table(name.table()).filter(|_| in_public) {
            Some(table) => Ok(provider_as_source(Arc::new(Table::new(table.clone())))),
            None => external(no_such_table(name.schema(), name.table())),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(self.types.clone())
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let own = own::named(name).or_else(|| calendar::named(name)).or_else(|| self.functions.get(name).cloned());
        own.or_else(|| self.base.scalar_functions().get(name).cloned())
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.base.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        if name == "sum" {
            return Some(self.sum.clone());
        }
        self.base.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.base.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.base.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.base.scalar_functions().keys().cloned().collect();
        names.sort();
        names
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.base.aggregate_functions().keys().cloned().collect();
        names.sort();
        names
    }

    fn udwf_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.base.window_functions().keys().cloned().collect();
        names.sort();
        names
    }
}

/// Functions of no arguments whose value the session knows, by name.
const FACTS: [(&str, FactKind); 10] = [
    ("version", FactKind::Version),
    ("current_database", FactKind::Database),
    ("current_catalog", FactKind::Database),
    ("current_schema", FactKind::Schema),
    ("current_user", FactKind::User),
    ("session_user", FactKind::User),
    ("user", FactKind::User),
    ("now", FactKind::Now),
    ("current_timestamp", FactKind::Now),
    ("transaction_timestamp", FactKind::Now),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FactKind {
    Version,
    Database,
    Schema,
    User,
    Now,
}

/// One of [`FACTS`] in a plan: replaced by its value before the plan runs (A4), never called.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Fact {
    name: &'static str,
    kind: FactKind,
    signature: Signature,
}

impl Fact {
    pub fn value(&self, env: &Env) -> ScalarValue {
        let text = |text: &str| scalar(&Value::Text(text.to_owned()), SqlType::Text);
        match self.kind {
            FactKind::Version => text(crate::VERSION_TEXT),
            FactKind::Database => text(&env.database),
            FactKind::Schema => text("public"),
            FactKind::User => text(&env.user),
            FactKind::Now => scalar(&Value::Timestamptz(env.now_us), SqlType::Timestamptz),
        }
    }
}

impl ScalarUDFImpl for Fact {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(match self.kind {
            FactKind::Version | FactKind::Database | FactKind::Schema | FactKind::User => SqlType::Text,
            FactKind::Now => SqlType::Timestamptz,
        }))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{}() was not replaced by its value", self.name)))
    }
}

/// The types of this database in a CAST; the others are refused by name.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type(&self, sql_type: &ast::DataType) -> Result<Option<DataType>> {
        use ast::DataType as Ast;
        let known = match sql_type {
            Ast::Bool | Ast::Boolean => SqlType::Bool,
            Ast::SmallInt(_) | Ast::Int2(_) => SqlType::Int2,
            Ast::Int(_) | Ast::Integer(_) | Ast::Int4(_) => SqlType::Int4,
            Ast::BigInt(_) | Ast::Int8(_) => SqlType::Int8,
            Ast::Float8 | Ast::DoublePrecision | Ast::Double(_) => SqlType::Float8,
            Ast::Float(ast::ExactNumberInfo::None) => SqlType::Float8,
            Ast::Text | Ast::Varchar(None) | Ast::CharacterVarying(None) => SqlType::Text,
            Ast::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => SqlType::Timestamptz,
            // Computing with these is fine; only results of these types are refused.
            Ast::Date => return Ok(Some(DataType::Date32)),
            Ast::Interval { .. } => return Ok(None),
            other => return not_impl_err!("type {other}"),
        };
        Ok(Some(arrow_type(known)))
    }
}
