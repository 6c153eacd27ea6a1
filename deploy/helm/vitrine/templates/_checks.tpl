{{/*
What is checked of each workload: dict root, name, values; `drains` where calls with the longest deadline are
taken, `hpa` where pods are scaled by metrics of ours, `set` where it is a StatefulSet.
*/}}
{{- define "vitrine.check.workload" -}}
{{- $longest := default 120 .root.Values.gateway.settings.write_timeout_s -}}
{{- if and .drains (lt (float64 .values.drainSeconds) (float64 $longest)) -}}
{{- fail (printf "%s: drainSeconds is %v, less than the %v s (gateway.settings.write_timeout_s) that a call in hand may take: updates would break calls" .name .values.drainSeconds $longest) -}}
{{- end -}}
{{- with .values.autoscaling -}}
{{- if .enabled -}}
{{- if and $.hpa (not $.root.Values.metrics.enabled) -}}
{{- fail (printf "%s: autoscaling.enabled follows metrics, and metrics.enabled is false" $.name) -}}
{{- end -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%s: autoscaling.minReplicas is more than autoscaling.maxReplicas" $.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $rolling := default dict .values.updateStrategy.rollingUpdate -}}
{{- if and (eq (default "RollingUpdate" .values.updateStrategy.type) "RollingUpdate") (not .set) -}}
{{- if and (regexMatch "^0%?$" (toString $rolling.maxSurge)) (regexMatch "^0%?$" (toString $rolling.maxUnavailable)) -}}
{{- fail (printf "%s: updateStrategy.rollingUpdate: with maxSurge and maxUnavailable both 0 no pod could ever be replaced" .name) -}}
{{- end -}}
{{- end -}}
{{- if and (ne (toString .values.pdb.minAvailable) "") (ne (toString .values.pdb.maxUnavailable) "") -}}
{{- fail (printf "%s: pdb.minAvailable and pdb.maxUnavailable: a budget has one of them" .name) -}}
{{- end -}}
{{- end -}}

{{/*
What lies in a pod for want of a volume must not be more than the pod may have, or it is evicted with all that it holds:
dict name, values; `volume` says whether there is a volume.
*/}}
{{- define "vitrine.check.room" -}}
{{- $limit := dig "limits" "ephemeral-storage" "" .values.resources | toString -}}
{{- if and (not .volume) $limit -}}
{{- if lt (include "vitrine.bytes" $limit | float64) (include "vitrine.bytes" .values.persistence.size | float64) -}}
{{- fail (printf "%s: without a volume persistence.size (%s) counts as ephemeral storage of the pod, of which resources.limits.ephemeral-storage allows %s: it would be evicted, and lose everything; lower the one or raise the other" .name .values.persistence.size $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity of Kubernetes as a plain number: a text. */}}
{{- define "vitrine.bytes" -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- $factor := 1.0 -}}
{{- $base := ternary 1024.0 1000.0 (hasSuffix "i" $unit) -}}
{{- $powers := dict "" 0 "m" 0 "k" 1 "K" 1 "M" 2 "G" 3 "T" 4 "P" 5 "E" 6 -}}
{{- range until (get $powers (trimSuffix "i" $unit)) }}{{ $factor = mulf $factor $base }}{{ end -}}
{{- $number := trimSuffix $unit . | float64 -}}
{{- mulf $number $factor (ternary 0.001 1.0 (eq $unit "m")) -}}
{{- end -}}
