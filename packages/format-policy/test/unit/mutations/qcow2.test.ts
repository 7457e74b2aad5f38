import { testMutations } from '../../mutations.ts'

testMutations('qcow2')
