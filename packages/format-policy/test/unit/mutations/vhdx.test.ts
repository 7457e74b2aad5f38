import { testMutations } from '../../mutations.ts'

testMutations('vhdx')
