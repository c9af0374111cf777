# `wharf serve`: it launches jobs, each run once, and is told how they end.
resource "google_cloud_run_v2_service" "launch" {
  count = local.has_service ? 1 : 0

  project             = local.project
  name                = "${var.name}-launch"
  location            = local.region
  ingress             = var.service.ingress
  deletion_protection = false # it holds nothing
  labels              = var.labels

  template {
    service_account                  = google_service_account.launcher.email
    max_instance_request_concurrency = var.service.concurrency
    timeout                          = "120s"
    labels                           = { launch-config = substr(sha256(var.launch_config), 0, 16) } # a change makes a revision, which reads it

    scaling {
      min_instance_count = var.service.min_instances
      max_instance_count = var.service.max_instances
    }

    containers {
      image = var.service_image

      env {
        name  = "WHARF_LAUNCH_CONFIG"
        value = "gs://${google_storage_bucket_object.launch_config.bucket}/${google_storage_bucket_object.launch_config.name}"
      }

      resources {
        limits            = { cpu = var.service.cpu, memory = var.service.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      startup_probe {
        period_seconds    = 2
        failure_threshold = 30

        http_get {
          path = "/health"
        }
      }

      liveness_probe {
        http_get {
          path = "/health"
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version] # who deployed last
  }

  depends_on = [
    google_project_iam_member.account,
    google_bigquery_dataset_iam_member.account,
    google_storage_bucket_iam_member.account,
    google_storage_bucket_iam_member.records,
  ]
}

# Cloud Run lets nobody else in, and has checked a caller's token before the service sees the request.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = local.has_service ? 1 : 0

  project  = local.project
  location = local.region
  name     = google_cloud_run_v2_service.launch[0].name
  role     = "roles/run.invoker"
  member   = google_service_account.invoker.member
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = local.has_service ? var.service.callers : []

  project  = local.project
  location = local.region
  name     = google_cloud_run_v2_service.launch[0].name
  role     = "roles/run.invoker"
  member   = each.key
}
