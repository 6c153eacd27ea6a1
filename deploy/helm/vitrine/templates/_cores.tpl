{{/*
Threads of numeric libraries, as a map of variables in YAML: dict resources. They would else have one for each core of
the node, and wait for their quota of cpu.
*/}}
{{- define "vitrine.cores" -}}
{{- $cpu := dig "limits" "cpu" "1" .resources | toString -}}
{{- $cores := ternary (div (trimSuffix "m" $cpu | int) 1000) (float64 $cpu | floor | int) (hasSuffix "m" $cpu) -}}
{{- range list "MKL_NUM_THREADS" "OMP_NUM_THREADS" "OPENBLAS_NUM_THREADS" }}
{{ . }}: {{ max 1 $cores | quote }}
{{- end }}
{{- end -}}
