# What each account may do. Grants are additions: what others have granted stays.

locals {
  project_roles = {
    bigquery_to_avro  = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser", "roles/dataflow.worker"]
    files_to_bigquery = ["roles/bigquery.jobUser", "roles/dataflow.worker"]
    bigquery_to_sftp  = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser", "roles/dataflow.worker"]
    api_to_bigquery   = ["roles/bigquery.jobUser", "roles/dataflow.worker"]
    service           = ["roles/bigquery.jobUser", "roles/dataflow.developer"]
  }
  members = merge(
    { for pipeline, account in google_service_account.worker : pipeline => account.member },
    { service = google_service_account.launcher.member },
  )
  # Keys of instances must be known before the accounts are made, so they come from the names.
  who    = setunion(local.pipelines, ["service"])
  access = { for who, access in var.access : who => access if contains(local.who, who) }

  # Those who record runs write to their ledger; the service marks runs whose job died as FAILED.
  dataset_roles = merge(
    { for pipeline, dataset in local.ledger_datasets : "${pipeline} ledger" => { who = pipeline, dataset = dataset, role = "roles/bigquery.dataEditor" } },
    { for dataset in distinct(values(local.ledger_datasets)) : "service ${dataset}" => { who = "service", dataset = dataset, role = "roles/bigquery.dataEditor" } },
    merge([for who, access in local.access : merge(
      { for dataset in access.read_datasets : "${who} reads ${dataset}" => { who = who, dataset = dataset, role = "roles/bigquery.dataViewer" } },
      { for dataset in access.write_datasets : "${who} writes ${dataset}" => { who = who, dataset = dataset, role = "roles/bigquery.dataEditor" } },
    )]...),
  )
  bucket_roles = merge(
    { for pipeline in local.pipelines : "${pipeline} works" => { who = pipeline, bucket = local.work_bucket, role = "roles/storage.objectUser" } },
    { for who in local.who : "${who} control" => { who = who, bucket = local.control_bucket, role = "roles/storage.objectViewer" } },
    merge([for who, access in local.access : merge(
      { for bucket in access.read_buckets : "${who} reads ${bucket}" => { who = who, bucket = bucket, role = "roles/storage.objectViewer" } },
      { for bucket in access.write_buckets : "${who} writes ${bucket}" => { who = who, bucket = bucket, role = "roles/storage.objectUser" } },
    )]...),
  )
  secret_roles = merge([for who, access in local.access : merge(
    { for secret in setunion(access.secrets, access.rotated_secrets) : "${who} reads ${secret}" => { who = who, secret = secret, role = "roles/secretmanager.secretAccessor" } },
    { for secret in access.rotated_secrets : "${who} rotates ${secret}" => { who = who, secret = secret, role = "roles/secretmanager.secretVersionAdder" } },
  )]...)
}

resource "google_project_iam_member" "account" {
  for_each = merge([for who in local.who : { for role in local.project_roles[who] : "${who} ${role}" => { who = who, role = role } }]...)

  project = local.project
  role    = each.value.role
  member  = local.members[each.value.who]
}

resource "google_bigquery_dataset_iam_member" "account" {
  for_each = local.dataset_roles

  project    = strcontains(each.value.dataset, ".") ? split(".", each.value.dataset)[0] : local.project
  dataset_id = reverse(split(".", each.value.dataset))[0]
  role       = each.value.role
  member     = local.members[each.value.who]
  depends_on = [google_bigquery_dataset.this]
}

resource "google_storage_bucket_iam_member" "account" {
  for_each = local.bucket_roles

  bucket     = each.value.bucket
  role       = each.value.role
  member     = local.members[each.value.who]
  depends_on = [google_storage_bucket.control, google_storage_bucket.work, google_storage_bucket.data]
}

# The launcher writes its records and nothing else of that bucket.
resource "google_storage_bucket_iam_member" "records" {
  bucket = google_storage_bucket.control.name
  role   = "roles/storage.objectUser"
  member = google_service_account.launcher.member

  condition {
    title      = "launch records"
    expression = "resource.name.startsWith(\"projects/_/buckets/${local.control_bucket}/objects/${local.records_prefix}/\")"
  }
}

resource "google_secret_manager_secret_iam_member" "account" {
  for_each = local.secret_roles

  project   = local.project
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = each.value.role
  member    = local.members[each.value.who]
}

# Who launches a job that runs as an account must be allowed to use that account.
resource "google_service_account_iam_member" "launcher_uses_worker" {
  for_each = local.pipelines

  service_account_id = google_service_account.worker[each.key].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.launcher.member
}

resource "google_artifact_registry_repository_iam_member" "worker" {
  for_each = local.pipelines

  project    = local.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker[each.key].member
}

# People act as these accounts, for an hour at a time, instead of having rights of their own.
resource "google_service_account_iam_member" "operator" {
  for_each = { for pair in setproduct(local.who, var.operators) : "${pair[0]} ${pair[1]}" => pair }

  service_account_id = each.value[0] == "service" ? google_service_account.launcher.name : google_service_account.worker[each.value[0]].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value[1]
}
