//! The one-partition rule: no operator of a plan spawns a task.
//!
//! DataFusion merges partitions with `CoalescePartitionsExec`, which gives each its own task of a tokio runtime, and adds one at the
//! root when a plan has several partitions there. Both are replaced by [`Serial`], which runs partitions one after the other.
//!
//! Joins and recursive queries make many rows of few, without a word from those who would wait: above them stands a [`Serial`] too,
//! which pauses now and then, so that others run and the statement can be stopped.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{StreamExt, TryStreamExt, stream};

/// Batches between two pauses.
const PAUSE_BATCHES: usize = 16;

#[derive(Debug)]
pub struct OnePartition;

impl PhysicalOptimizerRule for OnePartition {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan
            .transform_up(|node| {
                let merged = (node.as_ref() as &dyn Any)
                    .downcast_ref::<CoalescePartitionsExec>()
                    .map(|merge| (merge.input().clone(), merge.fetch()));
                Ok(match merged {
                    Some((input, fetch)) => Transformed::yes(Serial::over(input, fetch)),
                    None if node.children().len() > 1 && node.output_partitioning().partition_count() == 1 => {
                        Transformed::yes(Serial::over(node, None))
                    }
                    None => Transformed::no(node),
                })
            })
            .data()?;
        Ok(if plan.output_partitioning().partition_count() > 1 { Serial::over(plan, None) } else { plan })
    }

    fn name(&self) -> &str {
        "one_partition"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// All partitions of its input, one after the other, cut at `fetch` rows, with pauses.
#[derive(Debug)]
struct Serial {
    input: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl Serial {
    fn over(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
        let mut equivalences: EquivalenceProperties = input.equivalence_properties().clone();
        if input.output_partitioning().partition_count() > 1 {
            equivalences.clear_orderings();
            equivalences.clear_per_partition_constants();
        }
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Arc::new(Serial { input, fetch, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DisplayAs for Serial {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fetch {
            Some(fetch) => write!(f, "SerialExec: fetch={fetch}"),
            None => write!(f, "SerialExec"),
        }
    }
}

impl ExecutionPlan for Serial {
    fn name(&self) -> &str {
        "SerialExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Serial::over(children.swap_remove(0), self.fetch))
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Serial::over(children.swap_remove(0), self.fetch))
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.clone();
        let count = input.output_partitioning().partition_count();
        let mut batches = stream::iter(0..count).map(move |n| input.execute(n, context.clone())).try_flatten().boxed();
        let mut until_pause = PAUSE_BATCHES;
        let batches = stream::poll_fn(move |cx| {
            if until_pause == 0 {
                until_pause = PAUSE_BATCHES;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let polled = batches.poll_next_unpin(cx);
            until_pause -= usize::from(polled.is_ready());
            polled
        });
        let merged: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches));
        Ok(match self.fetch {
            Some(fetch) => Box::pin(LimitStream::new(merged, 0, Some(fetch), BaselineMetrics::new(&self.metrics, 0))),
            None => merged,
        })
    }
}
