//! Service accounts, their tokens, their roles.

use super::generic::missing;
use crate::{
    caller::{Caller, token_hash},
    change::Change,
    controller::Controller,
    kind,
};
use api::{
    Empty, NewObject, Object, Patch, Project, RoleBinding, RoleBindingSpec, ServiceAccount,
    ServiceAccountSpec, Verb,
    access::{NewToken, Role, ServiceAccountStatus},
    validate::Validate,
};
use base::{Error, Name, Result, Secret};

/// What all our tokens start with, so that scanners for leaked secrets know them.
const TOKEN_PREFIX: &str = "hst_";

/// A new token: 256 random bits.
pub fn new_token() -> Secret {
    Secret::new(format!("{TOKEN_PREFIX}{}", hex::encode(rt::ids::random_bytes::<32>())))
}

fn status_of(token: &Secret) -> ServiceAccountStatus {
    ServiceAccountStatus {
        token_hash: Some(Secret::new(token_hash(token.expose_secret()))),
        token_created_at: Some(rt::clock::wall()),
    }
}

impl Controller {
    /// Makes a service account; the answer has its token, once.
    pub async fn create_account(
        &self,
        caller: &Caller,
        new: NewObject<ServiceAccountSpec>,
    ) -> Result<NewToken> {
        api::validate::labels("/labels", &new.labels)?;
        new.spec.validate()?;
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let answer = NewToken { account: new.name.clone(), token: new_token() };
        let metadata = super::new_metadata(new.name, None, new.labels);
        let account: ServiceAccount = Object { metadata, spec: new.spec, status: status_of(&answer.token) };
        self.commit_answered(caller, &account, None, answer, |_| Ok(())).await.map(|(answer, _)| answer)
    }

    /// Gives an account a new token; the old one ends at once.
    pub async fn rotate_token(&self, caller: &Caller, name: &str) -> Result<NewToken> {
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let uid = self.find::<ServiceAccount>(None, name)?.metadata.uid;
        let token = new_token();
        let account = self
            .writer()
            .update::<ServiceAccount>(uid, |account, change| {
                account.status = status_of(&token);
                let m = &account.metadata;
                change.event(
                    "service-account",
                    m,
                    "TokenRotated",
                    format!("by {}", caller.principal.name),
                )?;
                change.audit(caller, Verb::Update, None, "ok")?;
                change.answer(caller, &NewToken { account: m.name.clone(), token: token.clone() })?;
                Ok(true)
            })
            .await?;
        Ok(NewToken { account: account.metadata.name.clone(), token })
    }

    /// Changes an account.
    pub async fn patch_account(&self, caller: &Caller, name: &str, patch: &Patch) -> Result<ServiceAccount> {
        self.patch_simple(caller, None, name, patch, |_, new: &mut ServiceAccount| {
            if new.spec.disabled { self.keep_an_admin(&new.metadata.name, None) } else { Ok(()) }
        })
        .await
    }

    /// Removes an account with its role bindings.
    pub async fn delete_account(&self, caller: &Caller, name: &str) -> Result<()> {
        self.delete_simple::<ServiceAccount>(caller, None, name, |account, change: &mut Change<'_>| {
            let name = &account.metadata.name;
            self.keep_an_admin(name, None)?;
            let bindings: Vec<_> =
                self.read(|t| t.bindings.iter().filter(|b| &b.spec.account == name).cloned().collect());
            for binding in bindings {
                change.delete(&*binding);
            }
            Ok(())
        })
        .await
    }

    /// Gives an account a role.
    pub async fn create_binding(
        &self,
        caller: &Caller,
        new: NewObject<RoleBindingSpec>,
    ) -> Result<RoleBinding> {
        let spec = &new.spec;
        if spec.role == Role::Worker {
            return Err(Error::invalid("/spec/role", "the role 'worker' comes only by joining")
                .hint("make a join token: hostler worker token create"));
        }
        if self.find::<ServiceAccount>(None, spec.account.as_str()).is_err() {
            return Err(Error::invalid(
                "/spec/account",
                missing::<ServiceAccount>(spec.account.as_str()).message,
            )
            .hint("see: hostler service-account list"));
        }
        if let Some(project) = &spec.project {
            let found = self.view().get::<Project>(&kind::key::<Project>(None, project.as_str()));
            if found.is_none() {
                return Err(Error::invalid("/spec/project", missing::<Project>(project.as_str()).message)
                    .hint("see: hostler project list"));
            }
        }
        self.create_simple(caller, None, new, Empty {}).await
    }

    /// Takes a role from an account.
    pub async fn delete_binding(&self, caller: &Caller, name: &str) -> Result<()> {
        self.delete_simple::<RoleBinding>(caller, None, name, |binding, _| {
            self.keep_an_admin(&binding.spec.account, Some(&binding.metadata.name))
        })
        .await
    }

    /// Refuses to take the last admin away: `account` would lose everything, or only the binding named.
    fn keep_an_admin(&self, account: &Name, binding: Option<&Name>) -> Result<()> {
        let another = self.read(|t| {
            let enabled = |name: &Name| t.accounts.get(&kind::key::<ServiceAccount>(None, name.as_str()));
            t.bindings.iter().any(|b| {
                let admin = b.spec.role == Role::Admin && b.spec.project.is_none();
                let lost = match binding {
                    Some(binding) => &b.metadata.name == binding,
                    None => &b.spec.account == account,
                };
                admin && !lost && enabled(&b.spec.account).is_some_and(|a| !a.spec.disabled)
            })
        });
        if another {
            return Ok(());
        }
        Err(Error::conflict("this would leave the cluster without an admin")
            .hint("give another account the role first: hostler service-account bind NAME admin"))
    }

    /// Makes the first admin where there is none yet, or gives an existing account of this name a new token: what the
    /// host's own operator may always do.
    /// The caller has the token on the disk before this: an admin whose token nobody knows would lock everybody out.
    pub async fn bootstrap_admin(&self, name: Name, token: &Secret) -> Result<()> {
        let mut change = self.writer().change();
        let key = kind::key::<ServiceAccount>(None, name.as_str());
        if let Some(account) = self.view().get::<ServiceAccount>(&key) {
            let mut account = ServiceAccount::clone(&account);
            account.status = status_of(token);
            account.spec.disabled = false;
            change.put(&account)?;
        } else {
            let metadata = super::new_metadata(name.clone(), None, std::collections::BTreeMap::new());
            let spec = ServiceAccountSpec { description: "The first admin".into(), disabled: false };
            change.create(&Object { metadata, spec, status: status_of(token) }, None)?;
        }
        let binding = kind::key::<RoleBinding>(None, name.as_str());
        if self.view().get::<RoleBinding>(&binding).is_none() {
            let metadata = super::new_metadata(name.clone(), None, std::collections::BTreeMap::new());
            let spec = RoleBindingSpec { account: name, role: Role::Admin, project: None };
            change.create(&RoleBinding { metadata, spec, status: Empty {} }, None)?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Whether somebody administers the cluster.
    pub fn has_admin(&self) -> bool {
        self.read(|t| t.bindings.iter().any(|b| b.spec.role == Role::Admin && b.spec.project.is_none()))
    }
}
