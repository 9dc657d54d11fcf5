module wake.test/h2

go 1.21
