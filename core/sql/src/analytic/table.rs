//! A tenant's table as DataFusion scans it: pages of the primary index at the transaction's snapshot.
//!
//! Conditions on the leading columns of the primary key narrow the span that is read, and so what the transaction depends on;
//! DataFusion still checks them (they are pushed down as inexact).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::stream;
use tenet_catalog::TableDescriptor;
use tenet_txn::{PageLimit, Reader};
use tenet_types::{Key, Row, Span, SqlType, Value};

use super::convert::{ColumnBuilder, arrow_type};
use crate::SqlError;
use crate::exec::is_catalog_change;

/// The statement's view of the data, found by scans in the session's extensions.
pub struct Snapshot {
    reader: Reader,
    /// Set when a read failed because the catalog is another than the plan's: DataFusion's errors would not tell.
    pub catalog_changed: Arc<AtomicBool>,
}

impl Snapshot {
    pub fn new(reader: Reader) -> Snapshot {
        Snapshot { reader, catalog_changed: Arc::default() }
    }
}

#[derive(Debug)]
pub struct Table {
    descriptor: Arc<TableDescriptor>,
    schema: SchemaRef,
}

impl Table {
    pub fn new(descriptor: Arc<TableDescriptor>) -> Table {
        let fields: Vec<Field> = descriptor
            .columns
            .iter()
            .map(|column| Field::new(&column.name, arrow_type(column.sql_type), !column.not_null))
            .collect();
        Table { schema: Arc::new(Schema::new(fields)), descriptor }
    }

    pub fn descriptor(&self) -> &Arc<TableDescriptor> {
        &self.descriptor
    }

    /// The span that holds every row which can satisfy all of `filters`.
    fn span(&self, filters: &[Expr]) -> Span {
        let mut prefix = self.descriptor.key_builder();
        for position in self.descriptor.key_positions() {
            let column = &self.descriptor.columns[position];
            let equal = filters.iter().find_map(|filter| equality(filter, &column.name, column.sql_type));
            match equal {
                Some(value) => prefix = prefix.push(&value),
                None => break,
            }
        }
        Span::prefix(&prefix.build())
    }
}

/// `column = constant` of the column's own type, in either order.
fn equality(filter: &Expr, name: &str, sql_type: SqlType) -> Option<Value> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match (op, left.as_ref(), right.as_ref()) {
        (Operator::And, left, right) => equality(left, name, sql_type).or_else(|| equality(right, name, sql_type)),
        (Operator::Eq, Expr::Column(column), Expr::Literal(literal, _))
        | (Operator::Eq, Expr::Literal(literal, _), Expr::Column(column))
            if column.name == name =>
        {
            constant(literal, sql_type)
        }
        _ => None,
    }
}

fn constant(literal: &ScalarValue, sql_type: SqlType) -> Option<Value> {
    Some(match (literal, sql_type) {
        (ScalarValue::Boolean(Some(v)), SqlType::Bool) => Value::Bool(*v),
        (ScalarValue::Int16(Some(v)), SqlType::Int2) => Value::Int2(*v),
        (ScalarValue::Int32(Some(v)), SqlType::Int4) => Value::Int4(*v),
        (ScalarValue::Int64(Some(v)), SqlType::Int8) => Value::Int8(*v),
        (ScalarValue::Float64(Some(v)), SqlType::Float8) => Value::Float8(*v),
        (ScalarValue::Utf8(Some(v)), SqlType::Text) => Value::Text(v.clone()),
        (ScalarValue::TimestampMicrosecond(Some(v), _), SqlType::Timestamptz) => Value::Timestamptz(*v),
        _ => return None,
    })
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&projection)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(Scan {
            descriptor: self.descriptor.clone(),
            span: self.span(filters),
            projection,
            schema,
            // A limit counts rows that pass the filters, which are only checked above.
            limit: limit.filter(|_| filters.is_empty()),
            properties: Arc::new(properties),
        }))
    }
}

#[derive(Debug)]
struct Scan {
    descriptor: Arc<TableDescriptor>,
    span: Span,
    projection: Vec<usize>,
    schema: SchemaRef,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for Scan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let whole = Span::prefix(&self.descriptor.key_builder().build()) == self.span;
        let part = if whole { "whole table" } else { "part by primary key" };
        write!(f, "ScanExec: table={}, columns=[{}], {part}", self.descriptor.name, columns.join(", "))?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for Scan {
    fn name(&self) -> &str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let snapshot = context
            .session_config()
            .get_extension::<Snapshot>()
            .ok_or_else(|| DataFusionError::Internal("a scan without a transaction".to_owned()))?;
        let reading = Reading {
            reader: snapshot.reader.clone(),
            catalog_changed: snapshot.catalog_changed.clone(),
            descriptor: self.descriptor.clone(),
            projection: self.projection.clone(),
            schema: self.schema.clone(),
            left: self.limit.unwrap_or(usize::MAX),
            rest: Some(self.span.clone()),
        };
        let batches = stream::try_unfold(reading, |mut reading| async move {
            let batch = reading.next_batch().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok(batch.map(|batch| (batch, reading)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

/// A scan under way.
struct Reading {
    reader: Reader,
    catalog_changed: Arc<AtomicBool>,
    descriptor: Arc<TableDescriptor>,
    projection: Vec<usize>,
    schema: SchemaRef,
    /// Rows still wanted.
    left: usize,
    rest: Option<Span>,
}

impl Reading {
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, SqlError> {
        while let Some(span) = self.rest.take().filter(|_| self.left > 0) {
            let usual = PageLimit::default();
            let limit = PageLimit { rows: usual.rows.min(self.left), ..usual };
            let page = match self.reader.scan(&span, limit).await {
                Ok(page) => page,
                Err(error) => {
                    self.catalog_changed.fetch_or(is_catalog_change(&error), Ordering::Relaxed);
                    return Err(error.into());
                }
            };
            self.rest = page.resume.map(|start| Span { start, end: span.end });
            if !page.rows.is_empty() {
                self.left -= page.rows.len().min(self.left);
                return self.batch(&page.rows).map(Some);
            }
        }
        Ok(None)
    }

    fn batch(&self, rows: &[(Key, Vec<u8>)]) -> Result<RecordBatch, SqlError> {
        let columns: Vec<_> = self.projection.iter().map(|n| &self.descriptor.columns[*n]).collect();
        let mut builders: Vec<_> = columns.iter().map(|column| ColumnBuilder::new(column.sql_type)).collect();
        for (key, bytes) in rows {
            let row = Row::decode(key, bytes)?;
            for (column, builder) in columns.iter().zip(&mut builders) {
                builder.push(&row.get(column.id))?;
            }
        }
        let arrays = builders.into_iter().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| SqlError::internal(error.to_string()))
    }
}
