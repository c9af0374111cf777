# Workflows deploy without a key: GitHub says who they are, and only those of this repository and environment count.
resource "google_iam_workload_identity_pool" "github" {
  count = var.github_repository == "" ? 0 : 1

  project                   = local.project
  workload_identity_pool_id = "${var.name}-github"
  display_name              = "GitHub"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  count = var.github_repository == "" ? 0 : 1

  project                            = local.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.github[0].workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_condition                = "assertion.repository == '${var.github_repository}' && assertion.environment == '${var.github_environment}'"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account" "deployer" {
  count = var.github_repository == "" ? 0 : 1

  project      = local.project
  account_id   = "${var.name}-deployer"
  display_name = "Wharf: publishes templates and the service"
}

resource "google_service_account_iam_member" "github_deploys" {
  count = var.github_repository == "" ? 0 : 1

  service_account_id = google_service_account.deployer[0].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github[0].name}/attribute.repository/${var.github_repository}"
}

resource "google_artifact_registry_repository_iam_member" "deployer" {
  count = var.github_repository == "" ? 0 : 1

  project    = local.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.deployer[0].member
}

resource "google_storage_bucket_iam_member" "deployer" {
  count = var.github_repository == "" ? 0 : 1

  bucket = google_storage_bucket.control.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer[0].member
}

resource "google_cloud_run_v2_service_iam_member" "deployer" {
  count = local.has_service && var.github_repository != "" ? 1 : 0

  project  = local.project
  location = local.region
  name     = google_cloud_run_v2_service.launch[0].name
  role     = "roles/run.developer"
  member   = google_service_account.deployer[0].member
}

# A revision of the service runs as the launcher.
resource "google_service_account_iam_member" "deployer_uses_launcher" {
  count = var.github_repository == "" ? 0 : 1

  service_account_id = google_service_account.launcher.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer[0].member
}
