{{/*
The names under which a component is called, as a list in YAML: dict root, component. A certificate must have
them.
*/}}
{{- define "vitrine.tls.names" -}}
{{- $fullname := include "vitrine.fullname" .root -}}
{{- $services := list (printf "%s-%s" $fullname .component) -}}
{{- if eq .component "gateway" -}}
{{- $services = append $services (printf "%s-gateway-headless" $fullname) -}}
{{- else if eq .component "vectorsearch" -}}
{{- $services = list -}}
{{- range $set := keys .root.Values.vectorsearch.sets | sortAlpha -}}
{{- range $shard := until (int (index $.root.Values.vectorsearch.sets $set).shards) -}}
{{- $pick := dict "set" $set "shard" $shard -}}
{{- $services = append $services (include "vitrine.object" (dict "root" $.root "component" "vectorsearch" "pick" $pick)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $services -}}
{{- $full := printf "%s.%s.svc" . $.root.Release.Namespace -}}
{{- $names = concat $names (list . $full (printf "%s.%s" $full $.root.Values.clusterDomain)) -}}
{{- end -}}
{{- if eq .component "gateway" -}}
{{- $names = concat $names .root.Values.tls.extraDnsNames -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* The components that are called, separated by spaces: the root. */}}
{{- define "vitrine.tls.components" -}}
gateway {{ if .Values.feed.enabled }}feed {{ end }}embedder ranker vectorsearch
{{- end -}}

{{/* A duration of Go, such as 720h or 1h30m, as whole seconds: a text. */}}
{{- define "vitrine.seconds" -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" . -1 -}}
{{- $unit := get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]" .) -}}
{{- $seconds = add $seconds (mul (regexFind "[0-9]+" .) $unit) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/*
The alert about processes that are to be restarted, as a group of rules in YAML: the root. What a process read when it
started is good for `renewBefore` at least; five sixths of that leave days to act.
*/}}
{{- define "vitrine.tls.rules" -}}
{{- $renewBefore := .Values.tls.certManager.renewBefore -}}
name: vitrine-certificates
rules:
  - alert: VitrineCertificateOld
    expr: >-
      time() - process_start_time_seconds{namespace={{ .Release.Namespace | quote }}, component=~"gateway|vectorsearch"}
      > {{ div (mul (include "vitrine.seconds" $renewBefore) 5) 6 }}
    for: 15m
    labels: {severity: warning}
    annotations:
      summary: {{ "{{ $labels.pod }} in {{ $labels.namespace }} must be restarted" | quote }}
      description: >-
        It has run for {{ "{{ $value | humanizeDuration }}" }}. It shows others the certificate that it read when it
        started, which may end after {{ $renewBefore }}. Restart gateways and shards.
      runbook_url: docs/runbooks.md#vitrinecertificateold
{{- end -}}
