{{/*
Environment variables. A component's are gathered as a map, in which a setting is VITRINE_<SERVICE>_<NAME> and
what the chart says goes before what the user says.
*/}}

{{/*
Settings as variables, as a map in YAML: dict prefix, settings. Lists are JSON, as the services read them.
*/}}
{{- define "vitrine.settings" -}}
{{- range $name, $value := .settings }}
VITRINE_{{ $.prefix }}_{{ upper $name }}: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end -}}

{{/*
What every service is told, as a map in YAML: the component with `prefix` and its ports, `port` and `health`.
Of mutual TLS, `asks` says whether callers must show a certificate, `calls` whether other services are called.
*/}}
{{- define "vitrine.environment" -}}
{{- $prefix := printf "VITRINE_%s" .prefix -}}
{{ include "vitrine.settings" (dict "prefix" .prefix "settings" .values.settings) }}
{{ $prefix }}_HOST: {{ .root.Values.listenAddress | quote }}
{{ $prefix }}_PORT: {{ .port | quote }}
{{ $prefix }}_METRICS_PORT: {{ ternary (add .port 1000) 0 .root.Values.metrics.enabled | quote }}
{{ $prefix }}_HEALTH_PORT: {{ add .port 2000 | quote }}
{{ $prefix }}_DRAIN_S: {{ .values.drainSeconds | quote }}
{{- with .root.Values.tracing }}
{{- if and .enabled (ne $.component "feed") }}
{{ $prefix }}_OTLP_ENDPOINT: {{ .endpoint | quote }}
{{ $prefix }}_TRACE_SAMPLE_RATIO: {{ toJson .sampleRatio | quote }}
{{- if .ca.existingConfigMap }}
{{ $prefix }}_OTLP_CA: /otlp/{{ .ca.key }}
{{- end }}
{{- end }}
{{- end }}
{{- if .root.Values.tls.enabled }}
{{ $prefix }}_TLS_CERTIFICATE: /tls/tls.crt
{{ $prefix }}_TLS_KEY: /tls/tls.key
{{- if .asks }}
{{ $prefix }}_TLS_CLIENT_CA: /tls/ca.crt
{{- end }}
{{- if .calls }}
{{ $prefix }}_TLS_CA: /tls/ca.crt
{{ $prefix }}_TLS_CLIENT_CERTIFICATE: /tls/tls.crt
{{ $prefix }}_TLS_CLIENT_KEY: /tls/tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/* What both roles of the gateway are told of store and access, as a map in YAML: the root. */}}
{{- define "vitrine.environment.store" -}}
VITRINE_GATEWAY_DATA_DIR: /data
{{- if include "vitrine.store" . }}
VITRINE_GATEWAY_STORE_URL:
  {{- include "vitrine.secret.store" . | nindent 2 }}
{{- end }}
VITRINE_GATEWAY_ACCESS: {{ .Values.access.mode }}
{{- if eq .Values.access.mode "keys" }}
VITRINE_GATEWAY_ADMIN_KEY_HASH:
  {{- include "vitrine.secret.adminKeyHash" . | nindent 2 }}
{{- with .Values.access.jwt }}
{{- if .existingConfigMap }}
VITRINE_GATEWAY_JWT_KEYS_FILE: /jwt/{{ .key }}
VITRINE_GATEWAY_JWT_ISSUER: {{ .issuer | quote }}
VITRINE_GATEWAY_JWT_AUDIENCE: {{ .audience | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
What the command `vitrine` is told, as a map in YAML: dict root, component. Shards ask nobody for a key.
*/}}
{{- define "vitrine.environment.command" -}}
HOME: /tmp
VITRINE_DATA_DIR: /tmp/vitrine
{{- if and (eq .root.Values.access.mode "keys") (ne .component "snapshot") }}
VITRINE_KEY:
  {{- include "vitrine.secret.feedKey" .root | nindent 2 }}
{{- end }}
{{- if .root.Values.tls.enabled }}
VITRINE_TLS_CA: /tls/ca.crt
VITRINE_TLS_CERTIFICATE: /tls/tls.crt
VITRINE_TLS_KEY: /tls/tls.key
{{- end }}
{{- end -}}

{{/* A map of variables as the `env` of a container: values that are maps say where they come from. */}}
{{- define "vitrine.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  valueFrom:
    {{- toYaml $value | nindent 4 }}
  {{- else }}
  value: {{ $value | quote }}
  {{- end }}
{{- end -}}
{{- end -}}
