//! From the first byte to the first ReadyForQuery.

use std::io;

use bytes::BytesMut;
use tenet_seam::Stream;
use tenet_sql::{Session, SqlError, SqlState};
use tenet_types::mark;
use tokio::io::AsyncWriteExt;

use crate::connection::{Shared, Trouble, write_error};
use crate::encode;
use crate::inbox::Inbox;
use crate::message::{Startup, Version};
use crate::registry::{Admission, Socket};

/// Newest protocol that is spoken: what Postgres 18 speaks.
const NEWEST: Version = Version { major: 3, minor: 2 };
/// SSLRequest and GSSENCRequest may each come once before the startup packet.
const ENCRYPTION_REQUESTS_MAX: usize = 2;
/// What a client asks for.
pub(crate) struct Hello {
    version: Version,
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    unknown_protocol_options: Vec<String>,
}

/// An open session and its place among those that count.
pub(crate) struct Opened {
    pub session: Session,
    pub admission: Admission,
    pub user: String,
}

/// Reads up to the startup packet. `None` when there is nothing more to say: the client closed, or only wanted to cancel.
pub(crate) async fn hear(stream: &mut Stream, inbox: &mut Inbox, socket: &Socket) -> Result<Option<Hello>, Trouble> {
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        let body = match inbox.startup(stream).await? {
            None => return Ok(None),
            Some(Err(message)) => return Err(protocol_violation(message).into()),
            Some(Ok(body)) => body,
        };
        match Startup::decode(body).map_err(|e| SqlError::from(e).fatal())? {
            // There is no encryption; the client may go on without.
            Startup::Ssl | Startup::Gss => {
                stream.write_all(b"N").await?;
                stream.flush().await?;
            }
            // Answered by closing, whether it found anything or not.
            Startup::Cancel { process, secret } => {
                socket.registry().cancel(process, &secret);
                return Ok(None);
            }
            Startup::Session { version, parameters } => return hello(version, parameters).map(Some),
        }
    }
    Err(protocol_violation("too many requests for encryption").into())
}

/// Opens the session and writes everything up to the first ReadyForQuery.
pub(crate) async fn open(
    hello: Hello,
    out: &mut BytesMut,
    socket: &Socket,
    shared: &Shared,
) -> Result<Opened, Trouble> {
    let version = hello.version.min(NEWEST);
    if hello.version > NEWEST || !hello.unknown_protocol_options.is_empty() {
        mark!("front: protocol version negotiated");
        let unknown: Vec<&str> = hello.unknown_protocol_options.iter().map(String::as_str).collect();
        encode::negotiate_protocol_version(out, version, &unknown);
    }
    let Some(engine) = shared.engine.borrow().clone() else {
        mark!("front: client before there is an engine");
        return Err(starting().into());
    };
    let Some(admission) = socket.admit(version.minor) else {
        mark!("front: too many connections");
        return Err(SqlError::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already").fatal().into());
    };
    let connect = engine.connect(&hello.database, &hello.user, &hello.settings);
    let session = connect.await.map_err(SqlError::fatal)?;
    encode::authentication_ok(out);
    for (name, value) in session.parameters() {
        encode::parameter_status(out, &name, &value);
    }
    encode::backend_key_data(out, admission.process, &admission.secret);
    encode::ready_for_query(out, session.status());
    Ok(Opened { session, admission, user: hello.user })
}

fn hello(version: Version, parameters: Vec<(String, String)>) -> Result<Hello, Trouble> {
    if version.major != NEWEST.major {
        let Version { major, minor } = version;
        return Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{}", NEWEST.minor),
        )
        .fatal()
        .into());
    }
    let mut hello = Hello {
        version,
        user: String::new(),
        database: String::new(),
        settings: Vec::new(),
        unknown_protocol_options: Vec::new(),
    };
    for (name, value) in parameters {
        match name.as_str() {
            "user" => hello.user = value,
            "database" => hello.database = value,
            "options" => hello.settings.extend(command_line(&value)?),
            "replication" if matches!(value.as_str(), "0" | "false" | "off" | "no") => {}
            "replication" => return Err(SqlError::unsupported("replication").fatal().into()),
            option if option.starts_with("_pq_.") => hello.unknown_protocol_options.push(name),
            _ => hello.settings.push((name, value)),
        }
    }
    if hello.user.is_empty() {
        let state = SqlState("28000");
        return Err(SqlError::new(state, "no PostgreSQL user name specified in startup packet").fatal().into());
    }
    if hello.database.is_empty() {
        hello.database = hello.user.clone();
    }
    Ok(hello)
}

/// Settings in the form of a server's command line: `-c name=value`, `-cname=value`, `--name=value`; a backslash keeps a blank.
fn command_line(options: &str) -> Result<Vec<(String, String)>, Trouble> {
    let mut words = vec![String::new()];
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        let last = words.last_mut().expect("never empty");
        match c {
            '\\' => last.extend(chars.next()),
            blank if blank.is_whitespace() => words.push(String::new()),
            other => last.push(other),
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("-c"), word.strip_prefix("--")) {
            (Some(""), _) => words.next().unwrap_or_default(),
            (Some(setting), _) | (_, Some(setting)) => setting.to_owned(),
            (None, None) => String::new(),
        };
        let Some((name, value)) = setting.split_once('=') else {
            return Err(SqlError::new(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
            .fatal()
            .into());
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn starting() -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the node is starting")
        .hint("The first start of a cluster waits until all its nodes have met; the log says for whom.")
        .fatal()
}

fn protocol_violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, message).fatal()
}

/// Says why there will be no session.
pub(crate) async fn refuse(stream: &mut Stream, out: &mut BytesMut, error: &SqlError) -> io::Result<()> {
    write_error(out, error);
    stream.write_all(out).await?;
    stream.flush().await
}
