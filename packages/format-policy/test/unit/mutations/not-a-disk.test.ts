import { testMutations } from '../../mutations.ts'

testMutations('gzip', 'tar', 'ova', 'zip', 'xz')
