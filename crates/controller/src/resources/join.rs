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

    /// Lets a host in: checks its token, signs its key, makes its object. A worker that joins again under a name that
    /// is taken is refused, since it could be another host.
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
            let mut kept = JoinToken::clone(&*found.ok_or_else(refused)?);
            if kept.status.used >= kept.spec.uses || age_seconds(&kept) > kept.spec.ttl_seconds {
                return Err(refused());
            }
            kept.status.used += 1;
            let (worker, answer) = self.welcome(&request)?;
            let caller = Caller {
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
            };
            let mut change = self.writer().change();
            change.create(&worker, None)?;
            change.put(&kept)?;
            change.event(
                "worker",
                &worker.metadata,
                "Joined",
                format!("with the token '{}'", kept.metadata.name),
            )?;
            change.audit(&caller, Verb::Create, None, "ok")?;
            match change.commit().await {
                Ok(_) => return Ok(answer),
                Err(e) => self.writer().catch_up(e).await?,
            }
        }
    }

    fn welcome(&self, request: &JoinRequest) -> Result<(Worker, JoinAnswer)> {
        if self.find::<Worker>(None, request.name.as_str()).is_ok() {
            return Err(super::generic::taken::<Worker>(&new_metadata(
                request.name.clone(),
                None,
                std::collections::BTreeMap::new(),
            )));
        }
        let metadata = new_metadata(request.name.clone(), None, std::collections::BTreeMap::new());
        let certificate = self
            .ca()
            .issue_worker(metadata.uid, &request.csr)
            .map_err(|e| Error::invalid("/csr", "not a certificate request that can be signed").because(e))?;
        let token = new_token();
        let answer = JoinAnswer {
            uid: metadata.uid,
            certificate,
            ca: self.ca().certificate_pem().to_owned(),
            token: token.clone(),
        };
        let status = WorkerStatus {
            token_hash: Some(Secret::new(token_hash(token.expose_secret()))),
            ..WorkerStatus::default()
        };
        Ok((Worker { metadata, spec: WorkerSpec::default(), status }, answer))
    }
}

/// How old a token is. By the wall clock: its maker and its user may be different processes of ours, a restart apart.
fn age_seconds(token: &JoinToken) -> u64 {
    let age = rt::clock::wall().as_second() - token.metadata.created_at.as_second();
    u64::try_from(age).unwrap_or(0)
}
