module offsets

go 1.26.0
