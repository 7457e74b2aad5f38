import { testMutations } from '../../mutations.ts'

testMutations('raw', 'iso')
