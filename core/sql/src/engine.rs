//! What all sessions of a node share: the ways out, and what is worth keeping between statements.
//!
//! Invariants
//!  E1  A cached catalog may be old. It is only ever used in requests that name its version, which the shard checks; an error that
//!      was found with it is told only after the newest one gave it too.
//!  E2  A cached plan belongs to one catalog version that was committed (P1).
//!  E3  Every cache is bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tenet_catalog::{Catalog, catalog_span};
use tenet_seam::{Random, Seam};
use tenet_shard::{ShardClient, Target};
use tenet_txn::{PageLimit, Transaction};
use tenet_types::{CatalogVersion, RangeEpoch, RequestId, ShardId, Span, SqlType, TenantId};

use crate::analytic::Analytic;
use crate::error::SqlError;
use crate::parse::{self, Parsed};
use crate::plan::Planned;
use crate::session::{Failure, Session};

/// Tenants, statements and plans per tenant that are kept, and the longest text that is worth it, in bytes.
const TENANTS_KEPT: usize = 1000;
const TEXTS_KEPT: usize = 1000;
const PLANS_KEPT: usize = 500;
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// The databases of the cluster. Implemented over the system shard.
#[async_trait]
pub trait Databases: Send + Sync {
    /// 3D000 when there is none of that name.
    async fn open(&self, name: &str) -> Result<DatabaseHandle, SqlError>;

    /// Returns when it can be connected to. 42P04 when there is one of that name.
    async fn create(&self, name: &str) -> Result<(), SqlError>;

    /// 3D000 when there is none of that name.
    async fn drop(&self, name: &str) -> Result<(), SqlError>;

    /// Names, in order.
    async fn list(&self) -> Result<Vec<String>, SqlError>;
}

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseHandle {
    pub name: String,
    pub tenant: TenantId,
    pub home: ShardId,
    pub epoch: RangeEpoch,
}

impl DatabaseHandle {
    pub(crate) fn target(&self, catalog: Option<CatalogVersion>) -> Target {
        Target { tenant: self.tenant, shard: self.home, epoch: self.epoch, catalog }
    }
}

#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Test hook: off, every query goes the analytic way, and writes scan their table.
    pub own_plans: bool,
    /// Most memory of one analytic statement; 53200 beyond.
    pub statement_memory_bytes_max: usize,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions { own_plans: true, statement_memory_bytes_max: 256 * 1024 * 1024 }
    }
}

/// The SQL of a node.
pub struct Engine {
    pub(crate) seam: Seam,
    pub(crate) client: Arc<dyn ShardClient>,
    pub(crate) databases: Arc<dyn Databases>,
    pub(crate) options: EngineOptions,
    pub(crate) analytic: Arc<Analytic>,
    random: Mutex<Random>,
    texts: Mutex<Recent<String, Arc<[Parsed]>>>,
    tenants: Mutex<Recent<TenantId, Tenant>>,
}

/// What is kept of a tenant.
struct Tenant {
    catalog: Arc<Catalog>,
    /// Of that catalog's version (E2).
    plans: Recent<PlanKey, Arc<Planned>>,
}

/// P1: what a plan depends on, beside the catalog.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlanKey {
    pub text: String,
    pub ordinal: usize,
    pub hints: Vec<Option<SqlType>>,
    pub zone: String,
}

impl Engine {
    pub fn new(
        seam: Seam,
        client: Arc<dyn ShardClient>,
        databases: Arc<dyn Databases>,
        options: EngineOptions,
    ) -> Arc<Engine> {
        let random = Mutex::new(seam.random("sql session"));
        let texts = Mutex::new(Recent::new(TEXTS_KEPT));
        let tenants = Mutex::new(Recent::new(TENANTS_KEPT));
        Arc::new(Engine { seam, client, databases, options, analytic: Arc::default(), random, texts, tenants })
    }

    /// Opens a session. `options` are the startup packet's settings; errors here end the connection.
    pub async fn connect(
        self: &Arc<Self>,
        database: &str,
        user: &str,
        options: &[(String, String)],
    ) -> Result<Session, SqlError> {
        let handle = self.databases.open(database).await.map_err(SqlError::fatal)?;
        let id = self.random.lock().expect("no holder panics").next_u128();
        Session::new(self.clone(), handle, user, options, id).map_err(SqlError::fatal)
    }

    /// Parses, or remembers.
    pub(crate) fn parse(&self, text: &str) -> Result<Arc<[Parsed]>, SqlError> {
        if text.len() > TEXT_BYTES_MAX {
            return parse::parse(text).map(Arc::from);
        }
        if let Some(parsed) = self.texts.lock().expect("no holder panics").get(text) {
            return Ok(parsed.clone());
        }
        let parsed: Arc<[Parsed]> = parse::parse(text)?.into();
        self.texts.lock().expect("no holder panics").insert(text.to_owned(), parsed.clone());
        Ok(parsed)
    }

    fn tenants(&self) -> MutexGuard<'_, Recent<TenantId, Tenant>> {
        self.tenants.lock().expect("no holder panics")
    }

    /// The tenant's catalog, perhaps an old one (E1), and whether it was read just now.
    pub(crate) async fn catalog(&self, database: &DatabaseHandle) -> Result<(Arc<Catalog>, bool), SqlError> {
        let kept = self.tenants().get(&database.tenant).map(|tenant| tenant.catalog.clone());
        match kept {
            Some(catalog) => Ok((catalog, false)),
            None => Ok((self.refresh(database).await?, true)),
        }
    }

    /// Reads the newest catalog.
    pub(crate) async fn refresh(&self, database: &DatabaseHandle) -> Result<Arc<Catalog>, SqlError> {
        // Only read, so the request id is never sent.
        let reads = Transaction::begin(self.client.clone(), database.target(None), RequestId::default());
        let (mut rows, mut left) = (Vec::new(), Some(catalog_span()));
        while let Some(span) = left {
            let page = reads.scan(&span, PageLimit::default()).await?;
            rows.extend(page.rows);
            left = page.resume.map(|start| Span { start, end: span.end });
        }
        let catalog = Arc::new(Catalog::from_rows(&rows)?);
        Ok(self.install(database.tenant, catalog))
    }

    /// Keeps a committed catalog, unless a newer one is there; gives the newer.
    pub(crate) fn install(&self, tenant: TenantId, catalog: Arc<Catalog>) -> Arc<Catalog> {
        let mut tenants = self.tenants();
        if let Some(kept) = tenants.get(&tenant)
            && kept.catalog.version >= catalog.version
        {
            return kept.catalog.clone();
        }
        tenants.insert(tenant, Tenant { catalog: catalog.clone(), plans: Recent::new(PLANS_KEPT) });
        catalog
    }

    pub(crate) fn plan(&self, tenant: TenantId, version: CatalogVersion, key: &PlanKey) -> Option<Arc<Planned>> {
        let mut tenants = self.tenants();
        let tenant = tenants.get_mut(&tenant).filter(|tenant| tenant.catalog.version == version)?;
        tenant.plans.get(key).cloned()
    }

    pub(crate) fn keep_plan(&self, tenant: TenantId, version: CatalogVersion, key: PlanKey, plan: &Arc<Planned>) {
        if key.text.len() > TEXT_BYTES_MAX {
            return;
        }
        let mut tenants = self.tenants();
        if let Some(tenant) = tenants.get_mut(&tenant).filter(|tenant| tenant.catalog.version == version) {
            tenant.plans.insert(key, plan.clone());
        }
    }

    /// Finds the cause of an error in the catalog: the newest one, if it is not the one that was used (E1).
    pub(crate) async fn newer(
        &self,
        database: &DatabaseHandle,
        used: CatalogVersion,
    ) -> Result<Option<Arc<Catalog>>, Failure> {
        let newest = self.refresh(database).await?;
        Ok((newest.version != used).then_some(newest))
    }
}

/// A map that forgets what was not asked for lately: two generations, of which the older is dropped when the younger is full.
struct Recent<K, V> {
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
    size_max: usize,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    /// Keeps the last `size_max` at least, twice as many at most.
    fn new(size_max: usize) -> Recent<K, V> {
        Recent { young: BTreeMap::new(), old: BTreeMap::new(), size_max }
    }

    fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get_mut(key).map(|value| &*value)
    }

    fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.size_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}
