{{/*
What is secret: the store's and the cache's URLs, and keys. Each is in a Secret of the user's or in ours.
*/}}

{{- define "vitrine.secret.name" -}}
{{ include "vitrine.fullname" . }}-secrets
{{- end -}}

{{/* Not empty where there is a MongoDB. */}}
{{- define "vitrine.store" -}}
{{- or .Values.store.existingSecret .Values.store.url -}}
{{- end -}}

{{/* Not empty where there is a Redis. */}}
{{- define "vitrine.cache" -}}
{{- or .Values.cache.existingSecret .Values.cache.url -}}
{{- end -}}

{{/* What our own Secret holds, as YAML. */}}
{{- define "vitrine.secret.data" -}}
{{- $data := dict -}}
{{- with .Values.store }}{{ if and .url (not .existingSecret) }}{{ $_ := set $data "store-url" .url }}{{ end }}{{ end -}}
{{- with .Values.cache }}{{ if and .url (not .existingSecret) }}{{ $_ := set $data "cache-url" .url }}{{ end }}{{ end -}}
{{- with .Values.access -}}
{{- if and (eq .mode "keys") (not .existingSecret) -}}
{{- if .adminKeyHash }}{{ $_ := set $data "admin-key-hash" .adminKeyHash }}{{ end -}}
{{- if .feedKey }}{{ $_ := set $data "feed-key" .feedKey }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml $data -}}
{{- end -}}

{{/*
A hash of what a component uses of our own Secret, so that its pods are replaced when that changes; else
empty.
*/}}
{{- define "vitrine.secret.checksum" -}}
{{- $data := include "vitrine.secret.data" .root | fromYaml -}}
{{- $used := dict
  "gateway" (list "store-url" "cache-url" "admin-key-hash")
  "feed" (list "store-url" "admin-key-hash")
  "vectorsearch" (list "feed-key")
-}}
{{- $values := list -}}
{{- range default list (get $used .component) -}}
{{- $values = append $values (get $data .) -}}
{{- end -}}
{{- with compact $values }}{{ toJson $values | sha256sum }}{{ end -}}
{{- end -}}

{{/* Where an environment variable finds the store's URL. */}}
{{- define "vitrine.secret.store" -}}
secretKeyRef:
  name: {{ default (include "vitrine.secret.name" .) .Values.store.existingSecret }}
  key: {{ ternary .Values.store.existingSecretKey "store-url" (ne .Values.store.existingSecret "") }}
{{- end -}}

{{/* The same for the cache's URL. */}}
{{- define "vitrine.secret.cache" -}}
secretKeyRef:
  name: {{ default (include "vitrine.secret.name" .) .Values.cache.existingSecret }}
  key: {{ ternary .Values.cache.existingSecretKey "cache-url" (ne .Values.cache.existingSecret "") }}
{{- end -}}

{{/* The same for the hash of the admin key, which may have been taken out again. */}}
{{- define "vitrine.secret.adminKeyHash" -}}
secretKeyRef:
  name: {{ default (include "vitrine.secret.name" .) .Values.access.existingSecret }}
  key: {{ ternary .Values.access.adminKeyHashKey "admin-key-hash" (ne .Values.access.existingSecret "") }}
  optional: true
{{- end -}}

{{/* The same for the key of shards, jobs and tests. */}}
{{- define "vitrine.secret.feedKey" -}}
secretKeyRef:
  name: {{ default (include "vitrine.secret.name" .) .Values.access.existingSecret }}
  key: {{ ternary .Values.access.feedKeyKey "feed-key" (ne .Values.access.existingSecret "") }}
{{- end -}}

{{/*
The Secret with the certificate of a component: one of the user's for all, or one of cert-manager's for each.
*/}}
{{- define "vitrine.tls.secret" -}}
{{- $own := ternary "jobs" .component (has .component (list "import" "generation" "snapshot" "test")) -}}
{{- default (printf "%s-%s-tls" (include "vitrine.fullname" .root) $own) .root.Values.tls.existingSecret -}}
{{- end -}}
