use tenet_types::{
    CatalogVersion, ColumnId, Key, NodeId, ReplicaId, SchemaVersion, ShardId, SqlType, TableId, TenantId, Value, Write,
};

use super::*;

fn table(name: &str) -> TableDescriptor {
    let column = |id, name: &str, sql_type, type_modifier| ColumnDescriptor {
        id: ColumnId(id),
        name: name.to_owned(),
        sql_type,
        type_modifier,
        not_null: id < 3,
        default: (id == 3).then(|| "'x'".to_owned()),
    };
    TableDescriptor {
        id: TableId(0),
        name: name.to_owned(),
        schema: SchemaVersion(1),
        columns: vec![
            column(2, "b", SqlType::Int4, NO_MODIFIER),
            column(1, "a", SqlType::Text, 14),
            column(3, "c", SqlType::Text, UNBOUNDED_VARCHAR),
        ],
        primary_key: vec![ColumnId(1), ColumnId(2)],
        primary_key_name: format!("{name}_pkey"),
    }
}

/// Applies writes to sorted rows, as a shard would.
fn store(rows: &mut Vec<(Key, Vec<u8>)>, writes: Vec<Write>) {
    for write in writes {
        rows.retain(|(key, _)| *key != write.key);
        if let Some(value) = write.value {
            rows.push((write.key, value));
        }
    }
    rows.sort();
}

#[test]
fn a_catalog_returns_from_its_rows_and_table_ids_are_not_used_again() {
    let mut rows = Vec::new();
    let mut catalog = Catalog::default();
    catalog.raise();
    let (first, writes) = catalog.create_table(table("t")).unwrap();
    store(&mut rows, writes);
    assert_eq!(first.id, FIRST_USER_TABLE);
    assert_eq!(Catalog::from_rows(&rows), Ok(catalog.clone()));
    assert!(rows.iter().all(|(key, _)| catalog_span().contains(key)));

    assert_eq!(catalog.create_table(table("t")), Err(CatalogError::Exists("t".into())));
    catalog.raise();
    store(&mut rows, catalog.drop_table("t").unwrap());
    assert_eq!(catalog.drop_table("t"), Err(CatalogError::Absent("t".into())));
    let read = Catalog::from_rows(&rows).unwrap();
    assert_eq!((read.version, read.tables().count()), (CatalogVersion(2), 0));
    let (second, _) = read.clone().create_table(table("t")).unwrap();
    assert_eq!(second.id, TableId(FIRST_USER_TABLE.0 + 1));
}

#[test]
fn a_row_and_its_key_return_and_nulls_are_not_stored() {
    let table = table("t");
    let values = vec![Value::Int4(7), Value::Text("x".into()), Value::Null];
    let row = table.row_of(&values);
    assert_eq!(row.columns.len(), 2);
    assert_eq!(table.values_of(&row), values);
    let key = table.key_builder().push(&Value::Text("x".into())).push(&Value::Int4(7)).build();
    assert_eq!(table.key_of(&values), key);
    let names: Vec<String> = table.columns.iter().map(ColumnDescriptor::type_name).collect();
    assert_eq!(names, ["integer", "character varying(10)", "character varying"]);
}

#[test]
fn damage_unknown_fields_and_other_formats_are_refused() {
    let mut catalog = Catalog::default();
    let (_, writes) = catalog.create_table(table("t")).unwrap();
    for write in writes {
        let (key, value) = (write.key, write.value.unwrap());
        for at in 0..value.len() {
            let mut bad = value.clone();
            bad[at] ^= 1;
            assert!(Catalog::from_rows(&[(key.clone(), bad)]).is_err());
        }
        let row = tenet_types::Row::decode(&key, &value).unwrap();
        let other = tenet_types::Row { schema: SchemaVersion(2), ..row.clone() };
        assert!(Catalog::from_rows(&[(key.clone(), other.encode(&key))]).is_err());
        let Value::Text(json) = row.get(ColumnId(1)) else { panic!("descriptors are text") };
        let grown = Value::Text(json.replacen('{', "{\"later\":1,", 1));
        let grown = tenet_types::Row { schema: SchemaVersion(1), columns: vec![(ColumnId(1), grown)] };
        assert!(Catalog::from_rows(&[(key.clone(), grown.encode(&key))]).is_err());
    }
}

#[test]
fn a_tenant_goes_from_creating_to_ready_to_tombstone_and_ids_only_grow() {
    let nodes = [NodeId(1), NodeId(2), NodeId(3)];
    let (tenant, shard, writes) = create_tenant(None, Ids::default(), "acme", &nodes).unwrap();
    assert_eq!((tenant.id, tenant.home, tenant.state), (TenantId(1), ShardId(2), TenantState::Creating));
    assert_eq!(shard.replicas[2], (NodeId(3), ReplicaId(1003)));
    let value = |key: &Key| writes.iter().find(|w| w.key == *key).unwrap().value.clone().unwrap();
    assert_eq!(tenant_from_row(&tenant_key("acme"), &value(&tenant_key("acme"))), Ok(tenant.clone()));
    assert_eq!(shard_from_row(&shard_key(ShardId(2)), &value(&shard_key(ShardId(2)))), Ok(shard.clone()));
    let ids = ids_from_row(Some(&value(&ids_key()))).unwrap();
    assert_eq!(ids, Ids { tenant: TenantId(2), shard: ShardId(3), replica: ReplicaId(1004) });
    assert!(tenants_span().contains(&tenant_key("acme")) && shards_span().contains(&shard_key(ShardId(2))));

    assert_eq!(create_tenant(Some(&tenant), ids, "acme", &nodes), Err(MapError::Exists("acme".into())));
    let ready = mark_ready(Some(&tenant), "acme").unwrap();
    let ready = tenant_from_row(&ready[0].key, ready[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(ready.state, TenantState::Ready);
    assert_eq!(mark_ready(Some(&ready), "acme"), Ok(Vec::new()));
    assert_eq!(mark_ready(None, "acme"), Err(MapError::Absent("acme".into())));

    let dropped = drop_tenant(Some(&ready), Some(&shard), "acme").unwrap();
    let tombstone = tenant_from_row(&dropped[0].key, dropped[0].value.as_ref().unwrap()).unwrap();
    let shard = shard_from_row(&dropped[1].key, dropped[1].value.as_ref().unwrap()).unwrap();
    assert_eq!((tombstone.state, shard.state), (TenantState::Dropped, ShardState::Dropped));
    assert_eq!(drop_tenant(Some(&tombstone), None, "acme"), Err(MapError::Absent("acme".into())));
    let (again, _, _) = create_tenant(Some(&tombstone), ids, "acme", &nodes[..1]).unwrap();
    assert_eq!(again.id, TenantId(2));
}

#[test]
fn names_fold_and_end_after_63_bytes() {
    assert_eq!(fold("Foo", false), "foo");
    assert_eq!(fold("Foo", true), "Foo");
    assert_eq!(fold(&"x".repeat(80), false).len(), 63);
    assert_eq!(fold(&"ü".repeat(40), false), "ü".repeat(31));
}
