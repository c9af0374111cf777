locals {
  account_emails = {
    for pipeline in local.pipelines : pipeline => "${var.name}-${replace(pipeline, "_", "-")}@${local.project}.iam.gserviceaccount.com"
  }
}

# As whom workers work: one account a pipeline, so that what delivers to a partner cannot read what another API sent.
resource "google_service_account" "worker" {
  for_each = local.pipelines

  project      = local.project
  account_id   = split("@", local.account_emails[each.key])[0]
  display_name = "Wharf: workers of ${each.key}"
}

# As whom jobs are launched, by the service and by direct schedules.
resource "google_service_account" "launcher" {
  project      = local.project
  account_id   = "${var.name}-launcher"
  display_name = "Wharf: launches jobs"
}

# As whom Pub/Sub, Cloud Scheduler and Eventarc call the service; it can do nothing else.
resource "google_service_account" "invoker" {
  project      = local.project
  account_id   = "${var.name}-invoker"
  display_name = "Wharf: calls the launch service"
}
