# The service is told how every Dataflow job of the region ends; it records those of runs that died, and tells people.
resource "google_eventarc_trigger" "job_ended" {
  count = local.has_service ? 1 : 0

  project                 = local.project
  name                    = "${var.name}-dataflow"
  location                = local.region
  service_account         = google_service_account.invoker.email
  event_data_content_type = "application/json"
  labels                  = var.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.dataflow.job.v1beta3.statusChanged"
  }

  destination {
    cloud_run_service {
      service = google_cloud_run_v2_service.launch[0].name
      region  = local.region
      path    = "/events/dataflow"
    }
  }

  depends_on = [
    google_project_iam_member.event_receiver,
    google_cloud_run_v2_service_iam_member.invoker,
    google_service_account_iam_member.pubsub_signs,
  ]
}

resource "google_project_iam_member" "event_receiver" {
  count = local.has_service ? 1 : 0

  project = local.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.invoker.member
}
