//! A bank: money moves between accounts, and every look at all of them sees the same total and no debts.

use async_trait::async_trait;
use tenet_histories::{Header, Value, functions, workloads};

use crate::session::{int, int_pairs, only};
use crate::{Client, ClientError, Luck, Session, Trouble, Workload};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)";
const INSERT: &str = "INSERT INTO accounts (id, balance) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const READ: &str = "SELECT balance FROM accounts WHERE id = $1";
const READ_ALL: &str = "SELECT id, balance FROM accounts";
const WRITE: &str = "UPDATE accounts SET balance = $1 WHERE id = $2";
const ADD: &str = "UPDATE accounts SET balance = balance + $1 WHERE id = $2";

#[derive(Clone, Copy, Debug)]
pub struct BankOptions {
    pub account_count: u64,
    /// In each account at first.
    pub balance: i64,
    pub amount_max: i64,
    /// Of a hundred operations; the rest transfers.
    pub reads_percent: u64,
}

impl BankOptions {
    pub fn draw(luck: &mut Luck) -> BankOptions {
        BankOptions {
            account_count: luck.between(2, 6) as u64,
            balance: luck.between(5, 100),
            amount_max: luck.between(1, 20),
            reads_percent: luck.between(20, 50) as u64,
        }
    }
}

pub struct Bank {
    options: BankOptions,
}

impl Bank {
    pub fn new(options: BankOptions) -> Bank {
        assert!(options.account_count > 1, "money needs another account to move to");
        Bank { options }
    }

    pub fn total(&self) -> i64 {
        self.options.balance * self.options.account_count as i64
    }

    async fn transfer(&self, session: &mut Session<'_>) -> Result<Value, Trouble> {
        let count = self.options.account_count;
        let from = session.draw_key(count);
        let to = (from + 1 + session.luck.below(count - 1) as i64) % count as i64;
        let amount = session.luck.between(1, self.options.amount_max);
        // Half of the credits are added by the server, half are computed here from what was read.
        let adds = session.luck.chance(50);
        let call = Value::map([("from", from.into()), ("to", to.into()), ("amount", amount.into())]);
        session.invoke(functions::TRANSFER, Value::Nil, call);

        session.begin().await?;
        let source = self.balance(session, from).await?;
        if source < amount {
            session.commit().await?;
            return Ok(false.into());
        }
        let touched = if adds {
            session.write(WRITE, &[(source - amount).into(), from.into()]).await?
                + session.write(ADD, &[amount.into(), to.into()]).await?
        } else {
            let target = self.balance(session, to).await?;
            session.write(WRITE, &[(source - amount).into(), from.into()]).await?
                + session.write(WRITE, &[(target + amount).into(), to.into()]).await?
        };
        session.commit().await?;
        if touched != 2 {
            return Err(Trouble::alarm(format!("a transfer {from} to {to} touched {touched} rows, expected 2")));
        }
        Ok(true.into())
    }

    async fn balance(&self, session: &mut Session<'_>, account: i64) -> Result<i64, Trouble> {
        match only(session.read(READ, &[account.into()]).await?)? {
            Some(cell) => int(cell),
            None => Err(Trouble::alarm(format!("account {account} is gone"))),
        }
    }

    async fn read_all(&self, session: &mut Session<'_>) -> Result<Value, Trouble> {
        session.invoke(functions::READ, Value::Nil, Value::Nil);
        let rows = session.read(READ_ALL, &[]).await?;
        Ok(balances(int_pairs(rows)?))
    }

    /// One statement per account: the snapshot has to hold from the first to the last.
    async fn read_each(&self, session: &mut Session<'_>) -> Result<Value, Trouble> {
        session.invoke(functions::READ, Value::Nil, Value::Nil);
        session.begin().await?;
        let mut pairs = Vec::new();
        for account in 0..self.options.account_count as i64 {
            pairs.push((account, self.balance(session, account).await?));
        }
        session.commit().await?;
        Ok(balances(pairs))
    }
}

fn balances(mut pairs: Vec<(i64, i64)>) -> Value {
    pairs.sort_unstable();
    Value::List(pairs.into_iter().map(|(account, balance)| vec![account, balance].into()).collect())
}

#[async_trait]
impl Workload for Bank {
    fn name(&self) -> &'static str {
        workloads::BANK
    }

    fn header(&self) -> Header {
        Header { workload: self.name().to_string(), facts: [("total".to_string(), self.total().into())].into() }
    }

    async fn setup(&self, client: &mut dyn Client) -> Result<(), ClientError> {
        client.execute(CREATE, &[]).await?;
        for account in 0..self.options.account_count as i64 {
            client.execute(INSERT, &[account.into(), self.options.balance.into()]).await?;
        }
        Ok(())
    }

    async fn step(&self, session: &mut Session<'_>) {
        let end = if !session.luck.chance(self.options.reads_percent) {
            self.transfer(session).await
        } else if session.luck.chance(50) {
            self.read_all(session).await
        } else {
            self.read_each(session).await
        };
        session.complete(end).await;
    }

    fn final_reads(&self) -> usize {
        2
    }

    async fn final_read(&self, number: usize, session: &mut Session<'_>) {
        let end = if number == 0 { self.read_all(session).await } else { self.read_each(session).await };
        session.complete(end).await;
    }
}
