import { testMutations } from '../../mutations.ts'

testMutations('vmdk')
