//! What each route does: reads the request, calls the controller, writes the answer. The match is exhaustive: a route
//! without a handler does not compile.

mod cluster;
mod fleets;
mod images;
mod vms;

use crate::{
    openapi,
    request::{Request, json},
    tunnel, watch,
};
use api::routes::RouteId as R;
use axum::{body::Body, http::Response, http::StatusCode};
use base::Result;

/// Answers an admitted request.
pub(crate) async fn answer(r: Request) -> Result<Response<Body>> {
    match r.route.id {
        R::Livez => Ok(text("ok\n")),
        R::Readyz => r.controller.ready().map(|()| text("ok\n")),
        R::Metrics => crate::metrics::render(&r.controller).map(text),
        R::Openapi => json(StatusCode::OK, &openapi::document()),
        R::Version => cluster::version(&r),
        R::WhoAmI => cluster::who_am_i(&r),
        R::Join => cluster::join(r).await,

        R::ListWorkers => cluster::list_workers(&r),
        R::GetWorker => cluster::get_worker(&r),
        R::PatchWorker => cluster::patch_worker(r).await,
        R::DeleteWorker => cluster::delete_worker(&r).await,
        R::AdoptVm => cluster::adopt_vm(r).await,
        R::RemoveUnclaimed => cluster::remove_unclaimed(&r).await,

        R::ListImages => images::list(&r),
        R::CreateImage => images::create(r).await,
        R::GetImage => images::get(&r),
        R::DeleteImage => images::delete(&r).await,
        R::PutImagePart => images::put_part(r).await,
        R::GetBlob => images::blob(&r).await,

        R::ListProjects => cluster::list_projects(&r),
        R::CreateProject => cluster::create_project(r).await,
        R::GetProject => cluster::get_project(&r),
        R::DeleteProject => cluster::delete_project(&r).await,

        R::ListServiceAccounts => cluster::list::<api::ServiceAccount>(&r),
        R::CreateServiceAccount => cluster::create_account(r).await,
        R::GetServiceAccount => cluster::get::<api::ServiceAccount>(&r),
        R::PatchServiceAccount => cluster::patch_account(r).await,
        R::DeleteServiceAccount => cluster::delete_account(&r).await,
        R::RotateToken => cluster::rotate_token(&r).await,

        R::ListRoleBindings => cluster::list::<api::RoleBinding>(&r),
        R::CreateRoleBinding => cluster::create_binding(r).await,
        R::GetRoleBinding => cluster::get::<api::RoleBinding>(&r),
        R::DeleteRoleBinding => cluster::delete_binding(&r).await,

        R::ListJoinTokens => cluster::list::<api::JoinToken>(&r),
        R::CreateJoinToken => cluster::create_join_token(r).await,
        R::DeleteJoinToken => cluster::delete_join_token(&r).await,

        R::GetSettings => cluster::get_settings(&r),
        R::PatchSettings => cluster::patch_settings(r).await,

        R::ListEvents => cluster::events(&r).await,
        R::ListOperations => fleets::list::<api::Operation>(&r, None),
        R::GetOperation => fleets::get_operation(&r),
        R::CancelOperation => fleets::cancel(&r, None).await,
        R::ListAudit => cluster::audit(&r).await,
        R::CreateBackup => cluster::create_backup(&r).await,

        R::Watch => watch::serve(&r),

        R::ListAllVms => vms::list(&r, None),
        R::ListVms => {
            let project = r.project()?;
            vms::list(&r, Some(&project))
        }
        R::CreateVm => vms::create(r).await,
        R::GetVm => vms::get(&r),
        R::PutVm => vms::put(r).await,
        R::PatchVm => vms::patch(r).await,
        R::DeleteVm => vms::delete(&r).await,
        R::RestartVm => vms::restart(&r).await,
        R::ListAllFleets => fleets::list::<api::Fleet>(&r, None),
        R::ListFleets => fleets::list::<api::Fleet>(&r, Some(&r.project()?)),
        R::CreateFleet => fleets::create(r).await,
        R::GetFleet => fleets::get::<api::Fleet>(&r),
        R::PatchFleet => fleets::patch(r).await,
        R::DeleteFleet => fleets::delete(&r).await,
        R::StartFleet => fleets::start(r).await,
        R::ListAllCredentials => fleets::list::<api::Credential>(&r, None),
        R::ListCredentials => fleets::list::<api::Credential>(&r, Some(&r.project()?)),
        R::CreateCredential => fleets::create_credential(r).await,
        R::GetCredential => fleets::get::<api::Credential>(&r),
        R::PatchCredential => fleets::patch_credential(r).await,
        R::DeleteCredential => fleets::delete_credential(&r).await,
        R::ListProjectOperations => fleets::list::<api::Operation>(&r, Some(&r.project()?)),
        R::GetProjectOperation => fleets::get::<api::Operation>(&r),
        R::CancelProjectOperation => fleets::cancel(&r, Some(&r.project()?)).await,
        R::GetOperationLog => fleets::log(&r, controller::Told::Output).await,
        R::GetOperationEvents => fleets::log(&r, controller::Told::Events).await,

        R::GetVmLog => tunnel::log(r).await,
        R::ExecVm | R::ConsoleVm | R::VncVm | R::PortVm => tunnel::serve(r).await,
    }
}

fn text(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let value = axum::http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(axum::http::header::CONTENT_TYPE, value);
    response
}

/// Whether a list is asked to go on as a watch.
pub(super) fn wants_watch(r: &Request) -> bool {
    let query = r.parts.uri.query().unwrap_or_default();
    query.split('&').any(|p| matches!(p, "watch" | "watch=true" | "watch=1"))
}
