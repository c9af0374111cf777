# Plans each environment with a provider that makes nothing up but ids: `terraform init -backend=false && terraform test`.

mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
  mock_data "google_storage_project_service_account" {
    defaults = {
      member = "serviceAccount:service-123456789012@gs-project-accounts.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_service_account" {
    defaults = {
      email  = "an-account@my-project.iam.gserviceaccount.com"
      member = "serviceAccount:an-account@my-project.iam.gserviceaccount.com"
      name   = "projects/my-project/serviceAccounts/an-account@my-project.iam.gserviceaccount.com"
    }
  }
}

run "prod" {
  command = apply

  variables {
    environment = "prod"
  }
}

run "dev" {
  command = apply

  variables {
    environment = "dev"
  }
}

run "prod_before_its_service" {
  command = apply

  variables {
    environment  = "prod"
    with_service = false
  }
}
