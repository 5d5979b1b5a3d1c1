//! The formats, one file each; every file opens with the format drawn, and what it cannot say.

pub(crate) mod binary;
pub(crate) mod dbcop_text;
pub(crate) mod elle_json;
pub(crate) mod etcd_json;
pub(crate) mod jepsen_edn;
pub(crate) mod jepsen_log;
pub(crate) mod json_lines;
pub(crate) mod polysi_text;
pub(crate) mod porcupine_kv;
