//! Join tokens, and workers that join with them.

use super::{accounts::new_token, new_metadata};
use crate::{
    caller::{Caller, Principal, token_hash},
    controller::Controller,
};
use api::{
    JoinToken, JoinTokenSpec, NewObject, Object, Verb, Worker, WorkerSpec, WorkerStatus,
    access::JoinTokenStatus,
    validate::Validate,
    worker::{JoinAnswer, JoinRequest},
};
use base::{Code, Error, Result, Secret};

impl Controller {
    /// Makes a join token; the answer has its text, once.
    pub async fn create_join_token(
        &self,
        caller: &Caller,
        new: NewObject<JoinTokenSpec>,
    ) -> Result<JoinToken> {
        api::validate::labels("/labels", &new.labels)?;
        new.spec.validate()?;
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let token = link::pki::JoinToken::generate(self.ca().pin());
        let status =
            JoinTokenStatus { secret_hash: Some(Secret::new(token.hash())), ..JoinTokenStatus::default() };
        let object: JoinToken =
            Object { metadata: new_metadata(new.name, None, new.labels), spec: new.spec, status };
        let mut answer = crate::codec::redacted(object.clone());
        answer.status.token = Some(Secret::new(token.expose_secret()));
        let (mut answer, revision) = self.commit_answered(caller, &object, None, answer, |_| Ok(())).await?;
        answer.metadata.revision = revision.unwrap_or(answer.metadata.revision);
        Ok(answer)
    }

    /// Ends a join token.
    pub async fn delete_join_token(&self, caller: &Caller, name: &str) -> Result<()> {
        self.delete_simple::<JoinToken>(caller, None, name, |_, _| Ok(())).await
    }

    /// Lets a host in: checks its token, signs its key, makes its object. A worker that joins again under a name that is
    /// taken is refused, since it could be another host. One that has that worker's key is that worker: it may have lost
    /// the first answer, so it gets another one, and the token is not used up by it.
    pub async fn join(&self, source: &str, request_id: &str, request: JoinRequest) -> Result<JoinAnswer> {
        let refused = || {
            Error::new(Code::Unauthenticated, "the join token is not valid")
                .because("it is unknown, used up or too old")
                .hint("make a new one: hostler worker token create")
        };
        let token: link::pki::JoinToken =
            request.token.expose_secret().trim().parse().map_err(|_| refused())?;
        let hash = token.hash();
        loop {
            let found = self.read(|t| {
                let mut all = t.join_tokens.iter();
                all.find(|t| t.status.secret_hash.as_ref().is_some_and(|h| h.expose_secret() == hash))
                    .cloned()
            });
            let mut invitation = JoinToken::clone(&*found.ok_or_else(refused)?);
            let key = link::pki::key_of_request(&request.csr).map_err(unsignable)?.to_string();
            let known = self.find::<Worker>(None, request.name.as_str()).ok();
            let (mut worker, again) = match known {
                Some(known) if known.status.key == key => (Worker::clone(&known), true),
                _ if invitation.status.used >= invitation.spec.uses
                    || age_seconds(&invitation) > invitation.spec.ttl_seconds =>
                {
                    return Err(refused());
                }
                Some(known) => return Err(super::generic::taken::<Worker>(&known.metadata)),
                None => (new_worker(&request, key), false),
            };
            let answer = self.welcome(&mut worker, &request.csr)?;
            let mut change = self.writer().change();
            if again {
                change.put(&worker)?;
            } else {
                invitation.status.used += 1;
                change.create(&worker, None)?;
                change.put(&invitation)?;
            }
            let how = if again { "again, with its own key and" } else { "with" };
            let message = format!("{how} the token '{}'", invitation.metadata.name);
            change.event("worker", &worker.metadata, "Joined", message)?;
            let verb = if again { Verb::Update } else { Verb::Create };
            change.audit(&as_itself(&worker, source, request_id), verb, None, "ok")?;
            match change.commit().await {
                Ok(_) => return Ok(answer),
                Err(e) => self.writer().catch_up(e).await?,
            }
        }
    }

    /// A certificate and a new token for a worker.
    fn welcome(&self, worker: &mut Worker, csr: &str) -> Result<JoinAnswer> {
        let uid = worker.metadata.uid;
        let certificate = self.ca().issue_worker(uid, csr).map_err(unsignable)?;
        let token = new_token();
        worker.status.token_hash = Some(Secret::new(token_hash(token.expose_secret())));
        Ok(JoinAnswer { uid, certificate, ca: self.ca().certificate_pem().to_owned(), token })
    }
}

fn unsignable(error: Error) -> Error {
    Error::invalid("/csr", "not a certificate request that can be signed").because(error)
}

fn new_worker(request: &JoinRequest, key: String) -> Worker {
    let metadata = new_metadata(request.name.clone(), None, std::collections::BTreeMap::new());
    Worker { metadata, spec: WorkerSpec::default(), status: WorkerStatus { key, ..WorkerStatus::default() } }
}

/// Who joins, joins by itself.
fn as_itself(worker: &Worker, source: &str, request_id: &str) -> Caller {
    Caller {
        principal: Principal {
            uid: worker.metadata.uid,
            name: worker.metadata.name.clone(),
            roles: vec![],
            token_hash: None,
        },
        source: source.to_owned(),
        request_id: request_id.to_owned(),
        path: "/v1/join".into(),
        idempotency: None,
        if_match: None,
    }
}

/// How old a token is. By the wall clock: its maker and its user may be different processes of ours, a restart apart.
fn age_seconds(token: &JoinToken) -> u64 {
    let age = rt::clock::wall().as_second() - token.metadata.created_at.as_second();
    u64::try_from(age).unwrap_or(0)
}
