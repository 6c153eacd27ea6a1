{{/*
Names and labels.

Nearly every helper takes one dict, the component at hand:
  root       the root of the chart ($)
  component  gateway, feed, ranker, embedder, vectorsearch, import, generation, snapshot or test
  values     the values of the component, merged where there are classes or sets
  pick       labels that tell several workloads of a component apart: class, or set and shard
  name       the name of its objects, where it is not made of component and pick
*/}}

{{- define "vitrine.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The beginning of all names. At most 26 characters, so that the longest name that is made of it, a
StatefulSet's with the hash that Kubernetes adds for a label, has 63; what is longer ends in a hash of the
whole, so that two releases never have the same name.
*/}}
{{- define "vitrine.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full = default $full .Values.fullnameOverride -}}
{{- if gt (len $full) 26 -}}
{{- printf "%s-%s" ($full | trunc 20 | trimSuffix "-") ($full | sha256sum | trunc 5) -}}
{{- else -}}
{{- $full -}}
{{- end -}}
{{- end -}}

{{/* The name of an object: <fullname>-<component>, and what tells workloads of a component apart. */}}
{{- define "vitrine.object" -}}
{{- if .name -}}
{{- .name -}}
{{- else -}}
{{- $parts := list (include "vitrine.fullname" .root) .component -}}
{{- range $_, $value := .pick }}{{ $parts = append $parts $value }}{{ end -}}
{{- join "-" $parts -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of a component; they never change. */}}
{{- define "vitrine.selector" -}}
app.kubernetes.io/name: {{ include "vitrine.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- range $name, $value := .pick }}
vitrine.shop/{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Labels that select all pods of the release. */}}
{{- define "vitrine.selector.all" -}}
app.kubernetes.io/name: {{ include "vitrine.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of objects. Without `component` those of what belongs to all. */}}
{{- define "vitrine.labels" -}}
{{- if .component -}}
{{ include "vitrine.selector" . }}
{{- else -}}
{{ include "vitrine.selector.all" .root }}
{{- end }}
app.kubernetes.io/part-of: vitrine
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: without the chart's version, since a new chart alone is no reason to replace them. */}}
{{- define "vitrine.labels.pod" -}}
{{ include "vitrine.selector" . }}
app.kubernetes.io/part-of: vitrine
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The metadata of an object; `labels` and `annotations` come on top, `namespace` goes before the release's.
*/}}
{{- define "vitrine.metadata" -}}
name: {{ include "vitrine.object" . }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "vitrine.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name of a component's ServiceAccount. */}}
{{- define "vitrine.serviceAccountName" -}}
{{- if .values.serviceAccount.create -}}
{{- default (include "vitrine.object" .) .values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The address of a component's Service for our own clients, as above with `port`. */}}
{{- define "vitrine.target" -}}
dns:///{{ include "vitrine.object" . }}.{{ .root.Release.Namespace }}.svc:{{ .port }}
{{- end -}}

{{/*
The reference of an image: dict root, image. A digest goes before a tag, the global registry before its own.
*/}}
{{- define "vitrine.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- $repository := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A value as it is, with the templates in it rendered: dict root, value. */}}
{{- define "vitrine.render" -}}
{{- $text := ternary .value (toYaml .value) (kindIs "string" .value) -}}
{{- tpl $text .root -}}
{{- end -}}
