# Containers only: values are added by people (`gcloud secrets versions add`), so that none is in a plan or a state.
resource "google_secret_manager_secret" "this" {
  for_each = toset(flatten([for access in values(var.access) : concat(tolist(access.secrets), tolist(access.rotated_secrets))]))

  project             = local.project
  secret_id           = each.key
  deletion_protection = true
  labels              = var.labels

  replication {
    auto {}
  }
}
