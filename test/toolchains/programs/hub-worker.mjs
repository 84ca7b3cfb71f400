import 'calloff/remote/worker'
