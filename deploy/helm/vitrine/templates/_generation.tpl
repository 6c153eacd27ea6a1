{{/*
The Job that builds a generation: the root. What embedders make vectors with is among its annotations, so that other
models are another Job.
*/}}
{{- define "vitrine.generation" -}}
{{- with .Values.jobs.generation -}}
{{- include "vitrine.job" (dict
  "root" $
  "component" "generation"
  "spec" (dict "backoffLimit" 6 "activeDeadlineSeconds" (int .activeDeadlineSeconds))
  "arguments" (list "generations" "create" "--if-needed" "--wait" "--catalog" .catalog "--server" (include "vitrine.gateway.address" $))
  "annotations" (include "vitrine.generation.sources" $ | fromYaml)
) }}
{{- end -}}
{{- end -}}

{{/* Where models come from, as a map in YAML: the root. Heads of a claim without its own are those of embedders. */}}
{{- define "vitrine.generation.sources" -}}
{{- $images := list -}}
{{- range $class := keys .Values.embedder.classes | sortAlpha -}}
{{- $values := include "vitrine.class" (dict "root" $ "class" $class) | fromYaml -}}
{{- if $values.enabled -}}
{{- $images = append $images (include "vitrine.image" (dict "root" $ "image" $values.image)) -}}
{{- end -}}
{{- end -}}
vitrine.shop/embedders: {{ $images | uniq | join " " | quote }}
vitrine.shop/models: {{ include "vitrine.models.source" . | quote }}
{{- end -}}

{{/*
Why the Job that this upgrade would start must wait for another upgrade: the root. It would ask embedders that still
have the old models, find nothing to do, and never run again. Empty where that Job is there already, where nothing runs
yet, or where charts are rendered without a cluster.
*/}}
{{- define "vitrine.generation.early" -}}
{{- $job := include "vitrine.generation" . | fromYaml -}}
{{- if not (lookup "batch/v1" "Job" .Release.Namespace $job.metadata.name) -}}
{{- range $class := keys .Values.embedder.classes | sortAlpha -}}
{{- $values := include "vitrine.class" (dict "root" $ "class" $class) | fromYaml -}}
{{- $component := dict "root" $ "component" "embedder" "pick" (dict "class" $class) -}}
{{- $running := lookup "apps/v1" "Deployment" $.Release.Namespace (include "vitrine.object" $component) -}}
{{- if and $values.enabled $running -}}
{{- $image := include "vitrine.image" (dict "root" $ "image" $values.image) -}}
{{- $wanted := list $image (include "vitrine.models.source" $) -}}
{{- $pod := $running.spec.template.spec -}}
{{- $there := list -}}
{{- range concat (default list $pod.initContainers) $pod.containers -}}
{{- if has .name (list "models" "embedder") }}{{ $there = append $there .image }}{{ end -}}
{{- end -}}
{{- range $pod.volumes -}}
{{- if and (eq .name "models") .persistentVolumeClaim }}{{ $there = append $there .persistentVolumeClaim.claimName }}{{ end -}}
{{- end -}}
{{- if ne (sortAlpha $wanted | join " ") (sortAlpha $there | join " ") }}
{{ printf "embedders of class %s get other models: %s instead of %s" $class (join ", " $wanted) (join ", " $there) }}
{{- else if lt (int (dig "status" "updatedReplicas" 0 $running)) (int (dig "status" "replicas" 0 $running)) }}
{{ printf "embedders of class %s are still being replaced" $class }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
