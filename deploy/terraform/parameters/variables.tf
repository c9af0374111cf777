# Made by `wharf templates build` from the flags of the pipelines; change those.

variable "bigquery_to_avro" {
  description = <<-EOT
    Parameters of the jobs that run bigquery_to_avro, by the job's name.
    - source_table: The table to export, read directly; this or query. For example: project.dataset.table
    - query: SQL to export instead: materialised in temp_dataset, dropped at the end. For example: SELECT * FROM d.t WHERE valid
    - temp_dataset: Where query is materialised, for a day at most. For example: project.dataset
    - output: Where the files go, one export to an output. For example: gs://bucket/prefix
    - when_read_from: First wall-clock time of the window. For example: 2025-03-01T00:00:00
    - when_read_to: First wall-clock time after the window. For example: 2025-03-08T00:00:00
    - period: A calendar month as the window; with no window at all, the previous month. For example: 202503
    - time_zone: Where days begin and end. For example: Europe/Berlin
    - date_column: TIMESTAMP, DATETIME or DATE column that window, year, month and day come from.
    - vendor_column: STRING or INT64 column that the vendor comes from.
    - columns: Columns to export, all by default; pushed down to the read session. For example: when_read,vendor,value
    - row_restriction: A further SQL condition on the rows; pushed down to the read session. For example: value > 0
    - codec: Compression of the Avro blocks.
    - partition_columns: Whether date and vendor columns stay in the files; an external table wants them dropped.
    - write_mode: What happens to a partition that already has files.
    - target_file_bytes: Files of a partition are cut near this size.
    - metadata_table: Where runs are recorded; made if missing. For example: project.dataset.table
    - files_table: Where files are recorded; by default the metadata table's name and _files. For example: project.dataset.table
    - export_name: The name runs are recorded under; by default the table's. For example: measurements
    - lease_minutes: How long a silent run keeps others from its window; by default 10, on Dataflow 1440. For example: 60
    - force: Take the window over from a run that is still recorded as running.
    - bigquery_endpoint: Another address of BigQuery's REST API: a private endpoint or an emulator. For example: https://bigquery-private.p.googleapis.com
    - bigquery_storage_endpoint: Another address of BigQuery's Storage API. For example: bigquerystorage-private.p.googleapis.com:443
  EOT
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue(flatten([for job in values(var.bigquery_to_avro) : [for name in keys(job) : contains(["source_table", "query", "temp_dataset", "output", "when_read_from", "when_read_to", "period", "time_zone", "date_column", "vendor_column", "columns", "row_restriction", "codec", "partition_columns", "write_mode", "target_file_bytes", "metadata_table", "files_table", "export_name", "lease_minutes", "force", "bigquery_endpoint", "bigquery_storage_endpoint"], name)]]))
    error_message = "bigquery_to_avro has a parameter that is none of source_table, query, temp_dataset, output, when_read_from, when_read_to, period, time_zone, date_column, vendor_column, columns, row_restriction, codec, partition_columns, write_mode, target_file_bytes, metadata_table, files_table, export_name, lease_minutes, force, bigquery_endpoint, bigquery_storage_endpoint."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.source_table)) if can(job.source_table)])
    error_message = "source_table: write one like project.dataset.table."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([^\\x00]*[^\\x00-\\x20;][^\\x00]*)?$", job.query)) if can(job.query)])
    error_message = "query: write one like SELECT * FROM d.t WHERE valid."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+)?$", job.temp_dataset)) if can(job.temp_dataset)])
    error_message = "temp_dataset: write one like project.dataset."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}(/[^\\x00-\\x1f]*)?)$", job.output)) if can(job.output)])
    error_message = "output: write one like gs://bucket/prefix."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$", job.when_read_from)) if can(job.when_read_from)])
    error_message = "when_read_from: write one like 2025-03-01T00:00:00."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])?$", job.when_read_to)) if can(job.when_read_to)])
    error_message = "when_read_to: write one like 2025-03-08T00:00:00."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([12][0-9]{3}(0[1-9]|1[0-2]))?$", job.period)) if can(job.period)])
    error_message = "period: write one like 202503."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(Africa/Abidjan|Africa/Algiers|Africa/Bissau|Africa/Cairo|Africa/Casablanca|Africa/Ceuta|Africa/El_Aaiun|Africa/Johannesburg|Africa/Juba|Africa/Khartoum|Africa/Lagos|Africa/Maputo|Africa/Monrovia|Africa/Nairobi|Africa/Ndjamena|Africa/Sao_Tome|Africa/Tripoli|Africa/Tunis|Africa/Windhoek|America/Adak|America/Anchorage|America/Araguaina|America/Argentina/Buenos_Aires|America/Argentina/Catamarca|America/Argentina/Cordoba|America/Argentina/Jujuy|America/Argentina/La_Rioja|America/Argentina/Mendoza|America/Argentina/Rio_Gallegos|America/Argentina/Salta|America/Argentina/San_Juan|America/Argentina/San_Luis|America/Argentina/Tucuman|America/Argentina/Ushuaia|America/Asuncion|America/Bahia|America/Bahia_Banderas|America/Barbados|America/Belem|America/Belize|America/Boa_Vista|America/Bogota|America/Boise|America/Cambridge_Bay|America/Campo_Grande|America/Cancun|America/Caracas|America/Cayenne|America/Chicago|America/Chihuahua|America/Ciudad_Juarez|America/Costa_Rica|America/Coyhaique|America/Cuiaba|America/Danmarkshavn|America/Dawson|America/Dawson_Creek|America/Denver|America/Detroit|America/Edmonton|America/Eirunepe|America/El_Salvador|America/Fort_Nelson|America/Fortaleza|America/Glace_Bay|America/Goose_Bay|America/Grand_Turk|America/Guatemala|America/Guayaquil|America/Guyana|America/Halifax|America/Havana|America/Hermosillo|America/Indiana/Indianapolis|America/Indiana/Knox|America/Indiana/Marengo|America/Indiana/Petersburg|America/Indiana/Tell_City|America/Indiana/Vevay|America/Indiana/Vincennes|America/Indiana/Winamac|America/Inuvik|America/Iqaluit|America/Jamaica|America/Juneau|America/Kentucky/Louisville|America/Kentucky/Monticello|America/La_Paz|America/Lima|America/Los_Angeles|America/Maceio|America/Managua|America/Manaus|America/Martinique|America/Matamoros|America/Mazatlan|America/Menominee|America/Merida|America/Metlakatla|America/Mexico_City|America/Miquelon|America/Moncton|America/Monterrey|America/Montevideo|America/New_York|America/Nome|America/Noronha|America/North_Dakota/Beulah|America/North_Dakota/Center|America/North_Dakota/New_Salem|America/Nuuk|America/Ojinaga|America/Panama|America/Paramaribo|America/Phoenix|America/Port-au-Prince|America/Porto_Velho|America/Puerto_Rico|America/Punta_Arenas|America/Rankin_Inlet|America/Recife|America/Regina|America/Resolute|America/Rio_Branco|America/Santarem|America/Santiago|America/Santo_Domingo|America/Sao_Paulo|America/Scoresbysund|America/Sitka|America/St_Johns|America/Swift_Current|America/Tegucigalpa|America/Thule|America/Tijuana|America/Toronto|America/Vancouver|America/Whitehorse|America/Winnipeg|America/Yakutat|Antarctica/Casey|Antarctica/Davis|Antarctica/Macquarie|Antarctica/Mawson|Antarctica/Palmer|Antarctica/Rothera|Antarctica/Troll|Antarctica/Vostok|Asia/Almaty|Asia/Amman|Asia/Anadyr|Asia/Aqtau|Asia/Aqtobe|Asia/Ashgabat|Asia/Atyrau|Asia/Baghdad|Asia/Baku|Asia/Bangkok|Asia/Barnaul|Asia/Beirut|Asia/Bishkek|Asia/Chita|Asia/Colombo|Asia/Damascus|Asia/Dhaka|Asia/Dili|Asia/Dubai|Asia/Dushanbe|Asia/Famagusta|Asia/Gaza|Asia/Hebron|Asia/Ho_Chi_Minh|Asia/Hong_Kong|Asia/Hovd|Asia/Irkutsk|Asia/Jakarta|Asia/Jayapura|Asia/Jerusalem|Asia/Kabul|Asia/Kamchatka|Asia/Karachi|Asia/Kathmandu|Asia/Khandyga|Asia/Kolkata|Asia/Krasnoyarsk|Asia/Kuching|Asia/Macau|Asia/Magadan|Asia/Makassar|Asia/Manila|Asia/Nicosia|Asia/Novokuznetsk|Asia/Novosibirsk|Asia/Omsk|Asia/Oral|Asia/Pontianak|Asia/Pyongyang|Asia/Qatar|Asia/Qostanay|Asia/Qyzylorda|Asia/Riyadh|Asia/Sakhalin|Asia/Samarkand|Asia/Seoul|Asia/Shanghai|Asia/Singapore|Asia/Srednekolymsk|Asia/Taipei|Asia/Tashkent|Asia/Tbilisi|Asia/Tehran|Asia/Thimphu|Asia/Tokyo|Asia/Tomsk|Asia/Ulaanbaatar|Asia/Urumqi|Asia/Ust-Nera|Asia/Vladivostok|Asia/Yakutsk|Asia/Yangon|Asia/Yekaterinburg|Asia/Yerevan|Atlantic/Azores|Atlantic/Bermuda|Atlantic/Canary|Atlantic/Cape_Verde|Atlantic/Faroe|Atlantic/Madeira|Atlantic/South_Georgia|Atlantic/Stanley|Australia/Adelaide|Australia/Brisbane|Australia/Broken_Hill|Australia/Darwin|Australia/Eucla|Australia/Hobart|Australia/Lindeman|Australia/Lord_Howe|Australia/Melbourne|Australia/Perth|Australia/Sydney|CST6CDT|EST5EDT|Etc/GMT|Etc/GMT[+]1|Etc/GMT[+]10|Etc/GMT[+]11|Etc/GMT[+]12|Etc/GMT[+]2|Etc/GMT[+]3|Etc/GMT[+]4|Etc/GMT[+]5|Etc/GMT[+]6|Etc/GMT[+]7|Etc/GMT[+]8|Etc/GMT[+]9|Etc/GMT-1|Etc/GMT-10|Etc/GMT-11|Etc/GMT-12|Etc/GMT-13|Etc/GMT-14|Etc/GMT-2|Etc/GMT-3|Etc/GMT-4|Etc/GMT-5|Etc/GMT-6|Etc/GMT-7|Etc/GMT-8|Etc/GMT-9|Etc/UTC|Europe/Andorra|Europe/Astrakhan|Europe/Athens|Europe/Belgrade|Europe/Berlin|Europe/Brussels|Europe/Bucharest|Europe/Budapest|Europe/Chisinau|Europe/Dublin|Europe/Gibraltar|Europe/Helsinki|Europe/Istanbul|Europe/Kaliningrad|Europe/Kirov|Europe/Kyiv|Europe/Lisbon|Europe/London|Europe/Madrid|Europe/Malta|Europe/Minsk|Europe/Moscow|Europe/Paris|Europe/Prague|Europe/Riga|Europe/Rome|Europe/Samara|Europe/Saratov|Europe/Simferopol|Europe/Sofia|Europe/Tallinn|Europe/Tirane|Europe/Ulyanovsk|Europe/Vienna|Europe/Vilnius|Europe/Volgograd|Europe/Warsaw|Europe/Zurich|Factory|Indian/Chagos|Indian/Maldives|Indian/Mauritius|MST7MDT|PST8PDT|Pacific/Apia|Pacific/Auckland|Pacific/Bougainville|Pacific/Chatham|Pacific/Easter|Pacific/Efate|Pacific/Fakaofo|Pacific/Fiji|Pacific/Galapagos|Pacific/Gambier|Pacific/Guadalcanal|Pacific/Guam|Pacific/Honolulu|Pacific/Kanton|Pacific/Kiritimati|Pacific/Kosrae|Pacific/Kwajalein|Pacific/Marquesas|Pacific/Nauru|Pacific/Niue|Pacific/Norfolk|Pacific/Noumea|Pacific/Pago_Pago|Pacific/Palau|Pacific/Pitcairn|Pacific/Port_Moresby|Pacific/Rarotonga|Pacific/Tahiti|Pacific/Tarawa|Pacific/Tongatapu|GMT|Australia/ACT|Australia/LHI|Australia/NSW|Australia/North|Australia/Queensland|Australia/South|Australia/Tasmania|Australia/Victoria|Australia/West|Australia/Yancowinna|Brazil/Acre|Brazil/DeNoronha|Brazil/East|Brazil/West|CET|Canada/Atlantic|Canada/Central|Canada/Eastern|Canada/Mountain|Canada/Newfoundland|Canada/Pacific|Canada/Saskatchewan|Canada/Yukon|Chile/Continental|Chile/EasterIsland|Cuba|EET|EST|Egypt|Eire|Etc/GMT[+]0|Etc/GMT-0|Etc/GMT0|Etc/Greenwich|Etc/UCT|Etc/Universal|Etc/Zulu|GB|GB-Eire|GMT[+]0|GMT-0|GMT0|Greenwich|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|Libya|MET|MST|Mexico/BajaNorte|Mexico/BajaSur|Mexico/General|NZ|NZ-CHAT|Navajo|PRC|Poland|Portugal|ROC|ROK|Singapore|Turkey|UCT|US/Alaska|US/Aleutian|US/Arizona|US/Central|US/East-Indiana|US/Eastern|US/Hawaii|US/Indiana-Starke|US/Michigan|US/Mountain|US/Pacific|US/Samoa|UTC|Universal|W-SU|Zulu|America/Buenos_Aires|America/Catamarca|America/Cordoba|America/Indianapolis|America/Jujuy|America/Knox_IN|America/Louisville|America/Mendoza|America/Virgin|Pacific/Samoa|Africa/Accra|Africa/Addis_Ababa|Africa/Asmara|Africa/Bamako|Africa/Bangui|Africa/Banjul|Africa/Blantyre|Africa/Brazzaville|Africa/Bujumbura|Africa/Conakry|Africa/Dakar|Africa/Dar_es_Salaam|Africa/Djibouti|Africa/Douala|Africa/Freetown|Africa/Gaborone|Africa/Harare|Africa/Kampala|Africa/Kigali|Africa/Kinshasa|Africa/Libreville|Africa/Lome|Africa/Luanda|Africa/Lubumbashi|Africa/Lusaka|Africa/Malabo|Africa/Maseru|Africa/Mbabane|Africa/Mogadishu|Africa/Niamey|Africa/Nouakchott|Africa/Ouagadougou|Africa/Porto-Novo|America/Anguilla|America/Antigua|America/Aruba|America/Atikokan|America/Blanc-Sablon|America/Cayman|America/Creston|America/Curacao|America/Dominica|America/Grenada|America/Guadeloupe|America/Kralendijk|America/Lower_Princes|America/Marigot|America/Montserrat|America/Nassau|America/Port_of_Spain|America/St_Barthelemy|America/St_Kitts|America/St_Lucia|America/St_Thomas|America/St_Vincent|America/Tortola|Antarctica/DumontDUrville|Antarctica/McMurdo|Antarctica/Syowa|Arctic/Longyearbyen|Asia/Aden|Asia/Bahrain|Asia/Brunei|Asia/Kuala_Lumpur|Asia/Kuwait|Asia/Muscat|Asia/Phnom_Penh|Asia/Vientiane|Atlantic/Reykjavik|Atlantic/St_Helena|Europe/Amsterdam|Europe/Bratislava|Europe/Busingen|Europe/Copenhagen|Europe/Guernsey|Europe/Isle_of_Man|Europe/Jersey|Europe/Ljubljana|Europe/Luxembourg|Europe/Mariehamn|Europe/Monaco|Europe/Oslo|Europe/Podgorica|Europe/San_Marino|Europe/Sarajevo|Europe/Skopje|Europe/Stockholm|Europe/Vaduz|Europe/Vatican|Europe/Zagreb|Indian/Antananarivo|Indian/Christmas|Indian/Cocos|Indian/Comoro|Indian/Kerguelen|Indian/Mahe|Indian/Mayotte|Indian/Reunion|Pacific/Chuuk|Pacific/Funafuti|Pacific/Majuro|Pacific/Midway|Pacific/Pohnpei|Pacific/Saipan|Pacific/Wake|Pacific/Wallis|Africa/Timbuktu|America/Argentina/ComodRivadavia|America/Atka|America/Coral_Harbour|America/Ensenada|America/Fort_Wayne|America/Montreal|America/Nipigon|America/Pangnirtung|America/Porto_Acre|America/Rainy_River|America/Rosario|America/Santa_Isabel|America/Shiprock|America/Thunder_Bay|America/Yellowknife|Antarctica/South_Pole|Asia/Choibalsan|Asia/Chongqing|Asia/Harbin|Asia/Kashgar|Asia/Tel_Aviv|Atlantic/Jan_Mayen|Australia/Canberra|Australia/Currie|Europe/Belfast|Europe/Tiraspol|Europe/Uzhgorod|Europe/Zaporozhye|Pacific/Enderbury|Pacific/Johnston|Pacific/Yap|WET|Africa/Asmera|America/Godthab|Asia/Ashkhabad|Asia/Calcutta|Asia/Chungking|Asia/Dacca|Asia/Istanbul|Asia/Katmandu|Asia/Macao|Asia/Rangoon|Asia/Saigon|Asia/Thimbu|Asia/Ujung_Pandang|Asia/Ulan_Bator|Atlantic/Faeroe|Europe/Kiev|Europe/Nicosia|HST|Pacific/Ponape|Pacific/Truk)$", job.time_zone)) if can(job.time_zone)])
    error_message = "time_zone: write one like Europe/Berlin."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+)$", job.date_column)) if can(job.date_column)])
    error_message = "date_column: write one like when_read."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+)$", job.vendor_column)) if can(job.vendor_column)])
    error_message = "vendor_column: write one like vendor."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+(,[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+)*)?$", job.columns)) if can(job.columns)])
    error_message = "columns: write one like when_read,vendor,value."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(snappy|deflate|zstandard|null)$", job.codec)) if can(job.codec)])
    error_message = "codec: one of snappy, deflate, zstandard, null."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(keep|drop)$", job.partition_columns)) if can(job.partition_columns)])
    error_message = "partition_columns: one of keep, drop."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(overwrite|skip|fail)$", job.write_mode)) if can(job.write_mode)])
    error_message = "write_mode: one of overwrite, skip, fail."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([1-9][0-9]{3,12})$", job.target_file_bytes)) if can(job.target_file_bytes)])
    error_message = "target_file_bytes: write one like 268435456."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)$", job.metadata_table)) if can(job.metadata_table)])
    error_message = "metadata_table: write one like project.dataset.table."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.files_table)) if can(job.files_table)])
    error_message = "files_table: write one like project.dataset.table."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})?$", job.export_name)) if can(job.export_name)])
    error_message = "export_name: write one like measurements."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^([1-9][0-9]{0,4})?$", job.lease_minutes)) if can(job.lease_minutes)])
    error_message = "lease_minutes: write one like 60."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^(true|false)$", job.force)) if can(job.force)])
    error_message = "force: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_endpoint)) if can(job.bigquery_endpoint)])
    error_message = "bigquery_endpoint: write one like https://bigquery-private.p.googleapis.com."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_avro) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_storage_endpoint)) if can(job.bigquery_storage_endpoint)])
    error_message = "bigquery_storage_endpoint: write one like bigquerystorage-private.p.googleapis.com:443."
  }
}

variable "files_to_bigquery" {
  description = <<-EOT
    Parameters of the jobs that run files_to_bigquery, by the job's name.
    - input: The files to load, with ** for any folders; this or subscription. For example: gs://bucket/in/**
    - subscription: The Pub/Sub subscription that Cloud Storage's notifications come from; a run of them has no end. For example: projects/project/subscriptions/landed
    - prefix: Below it paths say what table files go to, by default below what comes before the first wildcard of input; notifications of other objects are passed over. For example: gs://bucket/in/
    - success_file: The file that says its directory is complete; none: every file is a batch of its own.
    - wait_for: Nothing is loaded before this file exists, such as the last one of a historical delivery. For example: gs://bucket/in/HISTORY_COMPLETE
    - wait_minutes: How long to wait for it.
    - destination_table: The table that everything goes to; by default paths name tables. For example: project.dataset.table
    - destination_regex: How paths name tables: groups named dataset, table, partition, yyyy, mm, dd, hh, batch; by default dataset/table/[historical|incremental]/[$partition]/[yyyy/mm/dd/hh]/[batch]/ and key=value folders. For example: (?P<dataset>[^/]+)/(?P<table>[^/]+)/(?P<batch>[^/]+)/
    - timestamp_regex: The part of an object's path that is its rows' time: a regular expression with one group. For example: _(\d{10})\.csv
    - timestamp_format: How timestamp_regex's text is read, in the codes of strptime; UTC where it has no zone. For example: %Y%m%d%H
    - timestamp_column: The TIMESTAMP column that holds it: the table's partitioning and first clustering column.
    - partition_granularity: How a table that is not there is partitioned, and what one re-delivery replaces.
    - clustering: Up to three columns that a table that is not there is clustered by, behind the timestamp. For example: carrier,origin
    - partition_expiration_days: Days after which partitions of a table that is not there are deleted. For example: 365
    - require_partition_filter: Whether queries of a table that is not there must name partitions.
    - table_labels: Labels of a table that is not there. For example: team=sales,source=shop
    - source_format: The files' format; auto: what their names end in says so.
    - field_delimiter: What separates CSV fields; tab may be written as tab. For example: ;
    - skip_leading_rows: Lines of a CSV file before its rows. For example: 1
    - quote: What surrounds CSV fields; none: nothing does. For example: '
    - encoding: Encoding of CSV and JSON.
    - max_bad_records: Rows of a load that may be bad before it fails; they are left out. For example: 10
    - ignore_unknown_values: Leave out values that have no column instead of failing.
    - write_mode: What a batch does to the rows that are there: replace_partition replaces those of its own partition, merge those with the same merge_keys.
    - merge_keys: The columns that identify a row. For example: order_id
    - schema_update_options: How a batch may change the table: add nullable columns, make required ones nullable. For example: ALLOW_FIELD_ADDITION,ALLOW_FIELD_RELAXATION
    - staging_dataset: The dataset that batches are loaded into before they reach the table, in the table's project; by default wharf_staging_ and the location. For example: staging
    - dead_letter_prefix: Where the files of batches that failed are copied, with the reasons. For example: gs://bucket/rejected
    - dead_letter_table: Where the reasons are recorded; by default the load-state table's name and _rejects. For example: project.dataset.rejects
    - load_state_table: Where batches are recorded; by default BQ_LOAD_STATE_TABLE, or bigquery_loads.serverless_bq_loads. For example: project.dataset.loads
    - files_table: Where files are recorded; by default the load-state table's name and _files. For example: project.dataset.loaded_files
    - max_jobs: BigQuery jobs at work at once.
    - since: Only batches that were complete at this time (UTC) or later. For example: 2025-03-01
    - until: Only batches that were complete before this time (UTC). For example: 2025-03-02T12:00
    - only: All batches that are not loaded, or those that failed.
    - notifications: A JSON file that says who is told of loads. For example: gs://bucket/notifications.json
    - lease_minutes: How long a silent run keeps others from its window; by default 10, on Dataflow 1440. For example: 60
    - bigquery_endpoint: Another address of BigQuery's REST API: a private endpoint or an emulator. For example: https://bigquery-private.p.googleapis.com
    - bigquery_storage_endpoint: Another address of BigQuery's Storage API. For example: bigquerystorage-private.p.googleapis.com:443
  EOT
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue(flatten([for job in values(var.files_to_bigquery) : [for name in keys(job) : contains(["input", "subscription", "prefix", "success_file", "wait_for", "wait_minutes", "destination_table", "destination_regex", "timestamp_regex", "timestamp_format", "timestamp_column", "partition_granularity", "clustering", "partition_expiration_days", "require_partition_filter", "table_labels", "source_format", "field_delimiter", "skip_leading_rows", "quote", "encoding", "max_bad_records", "ignore_unknown_values", "write_mode", "merge_keys", "schema_update_options", "staging_dataset", "dead_letter_prefix", "dead_letter_table", "load_state_table", "files_table", "max_jobs", "since", "until", "only", "notifications", "lease_minutes", "bigquery_endpoint", "bigquery_storage_endpoint"], name)]]))
    error_message = "files_to_bigquery has a parameter that is none of input, subscription, prefix, success_file, wait_for, wait_minutes, destination_table, destination_regex, timestamp_regex, timestamp_format, timestamp_column, partition_granularity, clustering, partition_expiration_days, require_partition_filter, table_labels, source_format, field_delimiter, skip_leading_rows, quote, encoding, max_bad_records, ignore_unknown_values, write_mode, merge_keys, schema_update_options, staging_dataset, dead_letter_prefix, dead_letter_table, load_state_table, files_table, max_jobs, since, until, only, notifications, lease_minutes, bigquery_endpoint, bigquery_storage_endpoint."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}/[^\\x00-\\x1f]*)?$", job.input)) if can(job.input)])
    error_message = "input: write one like gs://bucket/in/**."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(projects/[a-z][a-z0-9:.-]{4,61}[a-z0-9]/subscriptions/[A-Za-z][A-Za-z0-9._~%+-]{0,254})?$", job.subscription)) if can(job.subscription)])
    error_message = "subscription: write one like projects/project/subscriptions/landed."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}(/[^*?\\[\\x00-\\x1f]*)?)?$", job.prefix)) if can(job.prefix)])
    error_message = "prefix: write one like gs://bucket/in/."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000/]+)$", job.success_file)) if can(job.success_file)])
    error_message = "success_file: write one like _SUCCESS."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}/[^\\x00-\\x1f]*[^\\x00-\\x1f/])?$", job.wait_for)) if can(job.wait_for)])
    error_message = "wait_for: write one like gs://bucket/in/HISTORY_COMPLETE."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([1-9][0-9]{0,8})$", job.wait_minutes)) if can(job.wait_minutes)])
    error_message = "wait_minutes: write one like 60."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.destination_table)) if can(job.destination_table)])
    error_message = "destination_table: write one like project.dataset.table."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([^%\\x00-\\x1f]|%%|%[aAbBcdfHIjmMpSUwWxXyYzZ])*%[cxyY]([^%\\x00-\\x1f]|%%|%[aAbBcdfHIjmMpSUwWxXyYzZ])*|([^%\\x00-\\x1f]|%%)*%G([^%\\x00-\\x1f]|%%)*%V([^%\\x00-\\x1f]|%%)*%[aAuw]([^%\\x00-\\x1f]|%%|%[fHIMpSzZ])*)?$", job.timestamp_format)) if can(job.timestamp_format)])
    error_message = "timestamp_format: write one like %Y%m%d%H."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+)$", job.timestamp_column)) if can(job.timestamp_column)])
    error_message = "timestamp_column: write one like file_timestamp."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(hour|day|month|year)$", job.partition_granularity)) if can(job.partition_granularity)])
    error_message = "partition_granularity: one of hour, day, month, year."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+(,[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+){0,2})?$", job.clustering)) if can(job.clustering)])
    error_message = "clustering: write one like carrier,origin."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([1-9][0-9]{0,8})?$", job.partition_expiration_days)) if can(job.partition_expiration_days)])
    error_message = "partition_expiration_days: write one like 365."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(true|false)$", job.require_partition_filter)) if can(job.require_partition_filter)])
    error_message = "require_partition_filter: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}(,[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63})*)?$", job.table_labels)) if can(job.table_labels)])
    error_message = "table_labels: write one like team=sales,source=shop."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(auto|CSV|NEWLINE_DELIMITED_JSON|AVRO|PARQUET|ORC)$", job.source_format)) if can(job.source_format)])
    error_message = "source_format: one of auto, CSV, NEWLINE_DELIMITED_JSON, AVRO, PARQUET, ORC."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(tab|\\\\t|[\\x01-\\x09\\x0b\\x0c\\x0e-\\xff])?$", job.field_delimiter)) if can(job.field_delimiter)])
    error_message = "field_delimiter: write one like ;."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(0|[1-9][0-9]{0,8})?$", job.skip_leading_rows)) if can(job.skip_leading_rows)])
    error_message = "skip_leading_rows: write one like 1."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(none|[\\x01-\\x09\\x0b\\x0c\\x0e-\\xff])?$", job.quote)) if can(job.quote)])
    error_message = "quote: write one like '."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(UTF-8|ISO-8859-1|UTF-16BE|UTF-16LE|UTF-32BE|UTF-32LE)$", job.encoding)) if can(job.encoding)])
    error_message = "encoding: one of UTF-8, ISO-8859-1, UTF-16BE, UTF-16LE, UTF-32BE, UTF-32LE."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(0|[1-9][0-9]{0,8})?$", job.max_bad_records)) if can(job.max_bad_records)])
    error_message = "max_bad_records: write one like 10."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(true|false)$", job.ignore_unknown_values)) if can(job.ignore_unknown_values)])
    error_message = "ignore_unknown_values: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(append|replace_partition|replace_table|merge)$", job.write_mode)) if can(job.write_mode)])
    error_message = "write_mode: one of append, replace_partition, replace_table, merge."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+(,[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000,.`]+)*)?$", job.merge_keys)) if can(job.merge_keys)])
    error_message = "merge_keys: write one like order_id."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^((ALLOW_FIELD_ADDITION|ALLOW_FIELD_RELAXATION)(,(ALLOW_FIELD_ADDITION|ALLOW_FIELD_RELAXATION))*)?$", job.schema_update_options)) if can(job.schema_update_options)])
    error_message = "schema_update_options: write one like ALLOW_FIELD_ADDITION,ALLOW_FIELD_RELAXATION."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([A-Za-z0-9_]+)?$", job.staging_dataset)) if can(job.staging_dataset)])
    error_message = "staging_dataset: write one like staging."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}(/[^\\x00-\\x1f]*)?)?$", job.dead_letter_prefix)) if can(job.dead_letter_prefix)])
    error_message = "dead_letter_prefix: write one like gs://bucket/rejected."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.dead_letter_table)) if can(job.dead_letter_table)])
    error_message = "dead_letter_table: write one like project.dataset.rejects."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.load_state_table)) if can(job.load_state_table)])
    error_message = "load_state_table: write one like project.dataset.loads."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([a-z0-9.:-]*[a-z0-9][.:])?[A-Za-z0-9_]+\\.[^\\x00-\\x20\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000.`/:]+)?$", job.files_table)) if can(job.files_table)])
    error_message = "files_table: write one like project.dataset.loaded_files."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([1-9][0-9]{0,3})$", job.max_jobs)) if can(job.max_jobs)])
    error_message = "max_jobs: write one like 100."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29)(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?)?$", job.since)) if can(job.since)])
    error_message = "since: write one like 2025-03-01."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29)(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?)?)?$", job.until)) if can(job.until)])
    error_message = "until: write one like 2025-03-02T12:00."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(all|failed)$", job.only)) if can(job.only)])
    error_message = "only: one of all, failed."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}/[^\\x00-\\x1f]*[^\\x00-\\x1f/])?$", job.notifications)) if can(job.notifications)])
    error_message = "notifications: write one like gs://bucket/notifications.json."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^([1-9][0-9]{0,4})?$", job.lease_minutes)) if can(job.lease_minutes)])
    error_message = "lease_minutes: write one like 60."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_endpoint)) if can(job.bigquery_endpoint)])
    error_message = "bigquery_endpoint: write one like https://bigquery-private.p.googleapis.com."
  }

  validation {
    condition     = alltrue([for job in values(var.files_to_bigquery) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_storage_endpoint)) if can(job.bigquery_storage_endpoint)])
    error_message = "bigquery_storage_endpoint: write one like bigquerystorage-private.p.googleapis.com:443."
  }
}

variable "bigquery_to_sftp" {
  description = <<-EOT
    Parameters of the jobs that run bigquery_to_sftp, by the job's name.
    - config: The JSON file that describes exports, server, metadata tables and notifications. For example: gs://bucket/exports.json
    - export_name: Which exports run: names separated by commas, or all. For example: orders_daily,customers
    - date: The date of the run, by default today in the export's time zone; date_range ends before it. For example: 2025-03-02
    - force: Repeat what is done already, begin anew what was left unfinished (an increment is completed), and take over from a run that is alive.
    - lease_minutes: How long a silent run keeps others from its window; by default 10, on Dataflow 1440. For example: 60
    - bigquery_endpoint: Another address of BigQuery's REST API: a private endpoint or an emulator. For example: https://bigquery-private.p.googleapis.com
    - bigquery_storage_endpoint: Another address of BigQuery's Storage API. For example: bigquerystorage-private.p.googleapis.com:443
  EOT
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue(flatten([for job in values(var.bigquery_to_sftp) : [for name in keys(job) : contains(["config", "export_name", "date", "force", "lease_minutes", "bigquery_endpoint", "bigquery_storage_endpoint"], name)]]))
    error_message = "bigquery_to_sftp has a parameter that is none of config, export_name, date, force, lease_minutes, bigquery_endpoint, bigquery_storage_endpoint."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}/[^\\x00-\\x1f]*[^\\x00-\\x1f/])$", job.config)) if can(job.config)])
    error_message = "config: write one like gs://bucket/exports.json."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^([A-Za-z0-9][A-Za-z0-9_.-]{0,127}( *, *[A-Za-z0-9][A-Za-z0-9_.-]{0,127})*)$", job.export_name)) if can(job.export_name)])
    error_message = "export_name: write one like orders_daily,customers."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^(([12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([12][0-9](0[48]|[2468][048]|[13579][26])|(1[26]|2[048])00)-02-29))?$", job.date)) if can(job.date)])
    error_message = "date: write one like 2025-03-02."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^(true|false)$", job.force)) if can(job.force)])
    error_message = "force: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^([1-9][0-9]{0,4})?$", job.lease_minutes)) if can(job.lease_minutes)])
    error_message = "lease_minutes: write one like 60."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_endpoint)) if can(job.bigquery_endpoint)])
    error_message = "bigquery_endpoint: write one like https://bigquery-private.p.googleapis.com."
  }

  validation {
    condition     = alltrue([for job in values(var.bigquery_to_sftp) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_storage_endpoint)) if can(job.bigquery_storage_endpoint)])
    error_message = "bigquery_storage_endpoint: write one like bigquerystorage-private.p.googleapis.com:443."
  }
}

variable "api_to_bigquery" {
  description = <<-EOT
    Parameters of the jobs that run api_to_bigquery, by the job's name.
    - config: The JSON file that describes the API, its endpoints and where the data goes. For example: gs://bucket/xero.json
    - endpoints: Fetch these only, and those that they depend on: names separated by commas. For example: Invoices,Contacts
    - client_name: Whose data is fetched; by default CLIENT_NAME, or what the configuration says. For example: acme
    - raw_mode: How new raw tables hold records: typed, in columns, or json, in one; by default as configured.
    - full: Ask for everything, as if nothing had been fetched before.
    - force: Begin anew what was left unfinished, and take over from a run that is alive.
    - lease_minutes: How long a silent run keeps others from its tenants; by default 10. For example: 60
    - bigquery_endpoint: Another address of BigQuery's REST API: a private endpoint or an emulator. For example: https://bigquery-private.p.googleapis.com
    - bigquery_storage_endpoint: Another address of BigQuery's Storage API. For example: bigquerystorage-private.p.googleapis.com:443
  EOT
  type        = map(map(string))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue(flatten([for job in values(var.api_to_bigquery) : [for name in keys(job) : contains(["config", "endpoints", "client_name", "raw_mode", "full", "force", "lease_minutes", "bigquery_endpoint", "bigquery_storage_endpoint"], name)]]))
    error_message = "api_to_bigquery has a parameter that is none of config, endpoints, client_name, raw_mode, full, force, lease_minutes, bigquery_endpoint, bigquery_storage_endpoint."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^(gs://[a-z0-9][a-z0-9._-]{0,221}/[^\\x00-\\x1f]*[^\\x00-\\x1f/])$", job.config)) if can(job.config)])
    error_message = "config: write one like gs://bucket/xero.json."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^([A-Za-z0-9][A-Za-z0-9_.-]{0,127}( *, *[A-Za-z0-9][A-Za-z0-9_.-]{0,127})*)?$", job.endpoints)) if can(job.endpoints)])
    error_message = "endpoints: write one like Invoices,Contacts."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})?$", job.client_name)) if can(job.client_name)])
    error_message = "client_name: write one like acme."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^(typed|json)?$", job.raw_mode)) if can(job.raw_mode)])
    error_message = "raw_mode: one of typed, json."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^(true|false)$", job.full)) if can(job.full)])
    error_message = "full: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^(true|false)$", job.force)) if can(job.force)])
    error_message = "force: one of true, false."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^([1-9][0-9]{0,4})?$", job.lease_minutes)) if can(job.lease_minutes)])
    error_message = "lease_minutes: write one like 60."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_endpoint)) if can(job.bigquery_endpoint)])
    error_message = "bigquery_endpoint: write one like https://bigquery-private.p.googleapis.com."
  }

  validation {
    condition     = alltrue([for job in values(var.api_to_bigquery) : can(regex("^((https://)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]+(:[0-9]{1,5})?/?)?$", job.bigquery_storage_endpoint)) if can(job.bigquery_storage_endpoint)])
    error_message = "bigquery_storage_endpoint: write one like bigquerystorage-private.p.googleapis.com:443."
  }
}
