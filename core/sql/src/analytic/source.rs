//! What names in a query mean: the tenant's tables, DataFusion's functions, and Postgres' functions about the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue, not_impl_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, HigherOrderUDF, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableSource,
    Volatility, WindowUDF,
};
use datafusion::sql::TableReference;
use sqlparser::ast;
use tenet_catalog::TableDescriptor;
use tenet_types::{SqlType, Value};

use super::Environment;
use super::arithmetic::{Checked, sum};
use super::convert::{arrow_type, scalar};
use super::table::Table;
use crate::{SqlError, SqlState};

pub struct Source<'a> {
    base: &'a SessionState,
    tables: BTreeMap<String, Arc<dyn TableSource>>,
    functions: BTreeMap<&'static str, Arc<ScalarUDF>>,
    sum: Arc<AggregateUDF>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<dyn TypePlanner>,
}

impl<'a> Source<'a> {
    pub fn new(base: &'a SessionState, tables: &[Arc<TableDescriptor>], environment: &Environment) -> Source<'a> {
        let tables = tables
            .iter()
            .map(|table| (table.name.clone(), provider_as_source(Arc::new(Table::new(table.clone())))))
            .collect();
        let text = |text: &str| (Value::Text(text.to_owned()), SqlType::Text);
        let now = || (Value::Timestamptz(environment.now_us), SqlType::Timestamptz);
        let constants = [
            ("version", text(crate::VERSION_TEXT)),
            ("current_database", text(&environment.database)),
            ("current_catalog", text(&environment.database)),
            ("current_schema", text("public")),
            ("current_user", text(&environment.user)),
            ("session_user", text(&environment.user)),
            ("user", text(&environment.user)),
            ("now", now()),
            ("current_timestamp", now()),
            ("transaction_timestamp", now()),
        ];
        let functions = constants
            .into_iter()
            .map(|(name, (value, sql_type))| {
                let constant = Constant { name, value: scalar(&value, sql_type), signature: nullary() };
                (name, Arc::new(ScalarUDF::new_from_impl(constant)))
            })
            .collect();
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Checked)];
        planners.extend(base.expr_planners().iter().cloned());
        Source { base, tables, functions, sum: sum(), planners, types: Arc::new(Types) }
    }
}

fn nullary() -> Signature {
    Signature::exact(Vec::new(), Volatility::Stable)
}

fn external<T>(error: SqlError) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}

impl ContextProvider for Source<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if let Some(schema) = name.schema().filter(|schema| *schema != "public") {
            if schema == "pg_catalog" || schema == "information_schema" {
                return external(SqlError::unsupported(format!("a query of {name}")));
            }
            let text = format!("schema \"{schema}\" does not exist");
            return external(SqlError::new(SqlState::INVALID_SCHEMA_NAME, text));
        }
        match self.tables.get(name.table()) {
            Some(table) => Ok(table.clone()),
            None => {
                let text = format!("relation \"{}\" does not exist", name.table());
                external(SqlError::new(SqlState::UNDEFINED_TABLE, text))
            }
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
        self.functions.get(name).or_else(|| self.base.scalar_functions().get(name)).cloned()
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

/// A function of no arguments whose value the session knows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    value: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
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
