//! The log against an obvious model, on a disk that forgets, tears, fails and rots.
//!
//! These were broken on purpose, one at a time, and each made at least one test here fail:
//!  - *writing*: no sync of a batch; sync before the write (acknowledged before the sync); going on after a failed write; a new
//!    segment renamed before its header is synced; no sync of the folder after the rename, at open, or of its parent;
//!  - *freeing*: all segments but the current one; a floor that ignores who needs entries; a header without votes;
//!  - *the tail rule*: any damaged last batch is cut; cut although a later batch follows; although something was written behind
//!    it; although no sector is missing; although the first sector is there but wrong;
//!  - *recovery*: torn bytes not cut off; the last batch not written again; not synced; no seal; an unfinished segment left; missing
//!    segments not noticed; a header not compared with the segments before (a unit test in `src/wal`);
//!  - *verifying*: digests not checked; the chain of digests ignored, within a segment and between two; payloads not checked when
//!    read; runs of a replaced suffix kept.

mod crashes;
mod damage;
mod model;
mod surface;
