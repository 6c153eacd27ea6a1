{{/*
Sets of shards and classes of embedders: what stands in one goes before what stands beside it.
*/}}

{{/* The values of a set as YAML: dict root, set. */}}
{{- define "vitrine.set" -}}
{{- $all := merge (dict "replicas" 1) (omit .root.Values.vectorsearch "sets" "current" "next") -}}
{{- toYaml (mergeOverwrite (deepCopy $all) (deepCopy (index .root.Values.vectorsearch.sets .set))) -}}
{{- end -}}

{{/* The values of a class of embedders as YAML: dict root, class. */}}
{{- define "vitrine.class" -}}
{{- $all := merge (dict "enabled" true) (omit .root.Values.embedder "classes") -}}
{{- toYaml (mergeOverwrite (deepCopy $all) (deepCopy (index .root.Values.embedder.classes .class))) -}}
{{- end -}}

{{/* The addresses of a set's shards in order, separated by commas: dict root, set. */}}
{{- define "vitrine.shard.targets" -}}
{{- $targets := list -}}
{{- range $shard := until (int (index .root.Values.vectorsearch.sets .set).shards) -}}
{{- $component := dict "root" $.root "component" "vectorsearch" "pick" (dict "set" $.set "shard" $shard) -}}
{{- $targets = append $targets (include "vitrine.target" (merge (dict "port" 50060) $component)) -}}
{{- end -}}
{{- join "," $targets -}}
{{- end -}}
