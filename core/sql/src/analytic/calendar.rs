//! `date_part` (which EXTRACT is) and `date_trunc` of our timestamps: in the session's zone, and with fractions of seconds.
//!
//! DataFusion reckons in UTC and in whole seconds. Of its own types, dates and intervals, the functions stay its own.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use tenet_types::{SqlType, Value};

use super::convert::{ColumnBuilder, arrow_type, sql_type, values_of};
use super::fields::{self, Unit};
use crate::SqlError;
use crate::zone::Zone;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Part,
    Trunc,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    kind: Kind,
    /// The session's, put in before the plan runs.
    zone: Zone,
    /// For what is not a timestamp of ours.
    other: Arc<ScalarUDF>,
}

/// The function of that name, if it is one of these.
pub fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    let kind = match name {
        "date_part" | "datepart" => Kind::Part,
        "date_trunc" | "datetrunc" => Kind::Trunc,
        _ => return None,
    };
    Some(function(kind, Zone::utc()))
}

fn function(kind: Kind, zone: Zone) -> Arc<ScalarUDF> {
    let other = match kind {
        Kind::Part => datetime::date_part(),
        Kind::Trunc => datetime::date_trunc(),
    };
    Arc::new(ScalarUDF::new_from_impl(Calendar { kind, zone, other }))
}

/// Makes `EXTRACT(field FROM x)` a call of the function here.
#[derive(Debug)]
pub struct Extracts;

impl ExprPlanner for Extracts {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let func = function(Kind::Part, Zone::utc());
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction { func, args })))
    }
}

fn is_ours(arrow: &DataType) -> bool {
    matches!(sql_type(arrow), Ok(SqlType::Timestamptz))
}

impl Calendar {
    pub fn has_zone(&self, zone: &Zone) -> bool {
        self.zone == *zone
    }

    /// The same function for a session in this zone.
    pub fn with_zone(&self, zone: &Zone) -> Arc<ScalarUDF> {
        function(self.kind, zone.clone())
    }

    fn apply(&self, units: &ArrayRef, times: &ArrayRef) -> Result<ArrayRef, SqlError> {
        let internal = |error: &dyn std::fmt::Display| SqlError::internal(error.to_string());
        let units = cast(units, &DataType::Utf8).map_err(|error| internal(&error))?;
        let units = units.as_string::<i32>();
        let mut builder = ColumnBuilder::new(match self.kind {
            Kind::Part => SqlType::Float8,
            Kind::Trunc => SqlType::Timestamptz,
        });
        for (unit, time) in units.iter().zip(values_of(times, SqlType::Timestamptz)?) {
            let value = match (unit, time) {
                (Some(unit), Value::Timestamptz(us)) => {
                    let unit = Unit::named(unit)?;
                    match self.kind {
                        Kind::Part => fields::part(us, unit, &self.zone).map_or(Value::Null, Value::Float8),
                        Kind::Trunc => Value::Timestamptz(fields::trunc(us, unit, &self.zone)?),
                    }
                }
                _ => Value::Null,
            };
            builder.push(&value)?;
        }
        Ok(builder.finish())
    }
}

impl ScalarUDFImpl for Calendar {
    fn name(&self) -> &str {
        self.other.name()
    }

    fn signature(&self) -> &Signature {
        self.other.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.other.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [_, time] if is_ours(time.data_type()) => {
                let result = match self.kind {
                    Kind::Part => arrow_type(SqlType::Float8),
                    Kind::Trunc => arrow_type(SqlType::Timestamptz),
                };
                Ok(Arc::new(Field::new(self.name(), result, true)))
            }
            _ => self.other.inner().return_field_from_args(args),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if !matches!(args.arg_fields.as_slice(), [_, time] if is_ours(time.data_type())) {
            return self.other.inner().invoke_with_args(args);
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [units, times] = &arrays[..] else { return plan_err!("two arguments") };
        let done = self.apply(units, times).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(ColumnarValue::Array(done))
    }
}
