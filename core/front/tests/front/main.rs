mod seam;
mod wire;
use std::sync::Arc;
use tenet_front::{FrontOptions, serve};
use tenet_sql::Engine;
use wire::*;

struct Server { world: Arc<seam::World>, knocker: seam::Knocker, engine: Arc<Engine>, stop: tokio::sync::watch::Sender<bool> }
fn server(f: impl FnOnce(&mut FrontOptions)) -> Server {
    let world = seam::World::new();
    let (knocker, listener) = seam::door();
    let engine = Arc::new(Engine::default());
    let (stop, receiver) = tokio::sync::watch::channel(false);
    let mut options = FrontOptions { stop: receiver, ..FrontOptions::default() };
    f(&mut options);
    let s = world.seam();
    s.spawn("server", serve(s.clone(), listener, engine.clone(), options));
    Server { world, knocker, engine, stop }
}
fn show(title: &str, lines: Vec<String>) { println!("-- {title}"); for l in lines { println!("   {l}") } }

#[test]
fn scratch() {
    let s = server(|_| {});
    s.world.clone().run(async {
        let mut w = Wire::new(s.knocker.connect(64));
        w.send(packet(&80877103u32.to_be_bytes())).await;
        assert_eq!(w.byte().await, b'N');
        w.send(startup(3, 0, &[("user", "u"), ("application_name", "x"), ("options", "-c a=b\\ c --d-e=f")])).await;
        show("startup", w.until_ready().await);
        show("q", w.query("SELECT 1").await);
        show("empty", w.query(" ").await);
        show("many", w.query("SELECT 1; INSERT; FAIL; SELECT 2").await);
        show("syntax", w.query("a syntax").await);
        show("set", w.query("SET x y; NOTICE").await);
        show("begin", w.query("BEGIN").await);
        show("fail", w.query("FAIL").await);
        show("in failed", w.query("SELECT 1").await);
        show("rollback", w.query("ROLLBACK").await);
        show("ext", w.ask(together(&[parse("", "ECHO $1 $2 $3", &[23, 701, 0]), bind("", "", &[1, 0, 0], &[Some(&7i32.to_be_bytes()), Some(b"1e23"), None], &[0, 1, 0]), describe(b'S', ""), describe(b'P', ""), execute("", 0), sync()])).await);
        println!("{:?}", std::mem::take(&mut *s.engine.events.lock().unwrap()));
        show("limit", w.ask(together(&[parse("s", "ROWS 5", &[]), bind("p", "s", &[], &[], &[1]), execute("p", 2), execute("p", 2), execute("p", 2), execute("p", 2), sync()])).await);
        println!("{:?}", std::mem::take(&mut *s.engine.events.lock().unwrap()));
        show("pipeline ok", w.ask(together(&[parse("", "INSERT", &[]), bind("", "", &[], &[], &[]), execute("", 0), bind("", "", &[], &[], &[]), execute("", 0), sync()])).await);
        println!("{:?}", std::mem::take(&mut *s.engine.events.lock().unwrap()));
        show("pipeline fail", w.ask(together(&[parse("", "INSERT", &[]), bind("", "", &[], &[], &[]), execute("", 0), parse("", "FAIL", &[]), bind("", "", &[], &[], &[]), execute("", 0), execute("", 0), query("SELECT 1"), sync()])).await);
        println!("{:?}", std::mem::take(&mut *s.engine.events.lock().unwrap()));
        show("gone", w.ask(together(&[bind("", "p", &[], &[], &[]), sync()])).await);
        show("dup", w.ask(together(&[parse("s", "INSERT", &[]), sync()])).await);
        show("multi", w.ask(together(&[parse("", "INSERT;INSERT", &[]), sync()])).await);
        show("fcall", w.ask(message(b'F', b"xx")).await);
        show("copydata", w.ask(together(&[message(b'd', b"xx"), sync()])).await);
        show("bad bind", w.ask(together(&[message(b'B', b"\0s\0\0\x05"), sync()])).await);
        show("rows", w.query("ROWS 300").await.into_iter().rev().take(3).collect());
        w.send(message(b'Z', b"")).await;
        show("broken", w.until_ready().await);
    });
}
